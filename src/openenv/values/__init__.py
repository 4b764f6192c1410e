"""Values that JSON lacks: how bytes and NumPy arrays travel inside a message.

A field typed `bytes` travels as base64 text, as its schema says. An array, and bytes in a place typed
`Any` (metadata, free-form dictionaries), travel as a tagged object, because the receiver could not tell
otherwise:

    {"__bytes__": "<base64>"}
    {"__ndarray__": "<base64 of the C-order buffer>", "dtype": "|u1", "shape": [84, 84, 4]}

A dictionary that happens to look like a tag is wrapped in `{"__plain__": {...}}`, so what is decoded
equals what was encoded. `tagged` is that codec, `schemas` puts it into the schemas of models, `text` makes and
reads JSON text with it. NumPy is imported only when an array is met.
"""

from __future__ import annotations

from openenv.values.schemas import (
    Resolve,
    adapt,
    any_schema,
    array_schema,
    foreign_schema,
    is_array_schema,
)
from openenv.values.tagged import (
    ARRAY,
    BYTES,
    PLAIN,
    array_from_buffer,
    decode,
    decode_array,
    encode,
    encode_array,
    is_array,
)
from openenv.values.text import (
    dumps,
    fallback,
    loads,
    may_be_non_finite,
    reason,
    refuse_non_finite,
    refuse_non_finite_tree,
    text_of,
)

__all__ = [
    "ARRAY",
    "BYTES",
    "PLAIN",
    "Resolve",
    "adapt",
    "any_schema",
    "array_from_buffer",
    "array_schema",
    "decode",
    "decode_array",
    "dumps",
    "encode",
    "encode_array",
    "fallback",
    "foreign_schema",
    "is_array",
    "is_array_schema",
    "loads",
    "may_be_non_finite",
    "reason",
    "refuse_non_finite",
    "refuse_non_finite_tree",
    "text_of",
]
