"""What an episode's interpreter begins with. This file is sent there as source; the server never imports it.

The two functions that start with an underscore are the server's, and count for themselves; what is checked here
only spares the interpreter a message that is too long to be sent.
"""

import json
import threading

MOST_BYTES = 1_000_000
_one_at_a_time = threading.RLock()

with open("context.txt", encoding="utf-8", newline="") as file:
    context = file.read()
del file


def llm_query(prompt):
    """Ask the sub-model, and return what it says."""
    return llm_query_batched([prompt])[0]


def llm_query_batched(prompts):
    """Ask the sub-model several things at once, and return what it says to each."""
    prompts = [str(prompt) for prompt in prompts]
    size = len(json.dumps(prompts))
    if size > MOST_BYTES:
        raise ValueError(f"{size:,} bytes are too much to ask at once; {MOST_BYTES:,} are allowed")
    with _one_at_a_time:  # threads may ask, too
        return _llm_queries(prompts)  # noqa: F821 - the server's


def FINAL(value):  # noqa: N802 - the name is the pattern's
    """Give the final answer: a text or a number; of anything else the text it is printed as."""
    plain = (
        value if isinstance(value, (str, int, float)) else value.item() if hasattr(value, "item") else str(value)
    )
    if len(json.dumps(plain)) > MOST_BYTES:
        raise ValueError("an answer of that size is no answer")
    _final(plain)  # noqa: F821 - the server's


def FINAL_VAR(name):  # noqa: N802
    """Give the value of a variable as the final answer."""
    FINAL(globals()[name])
