"""Makes the outputs of a cell of the messages that its kernel published, as a notebook's page would.

The messages come from where the agent's code runs, so they are claims: what has not the right form is left out.
"""

import base64
import binascii
import json
from typing import Any

from ..models import Output

MAX_OUTPUTS = 1000
BINARY = ("image/", "audio/", "video/", "application/pdf")
ANSWERS = ("display_data", "execute_result")


class Outputs:
    """Collects the outputs of one cell.

    Args:
        most_characters: What is taken of its messages in all, as JSON has them; the rest is dropped.

    Attributes:
        shown: The outputs so far.
        dropped: Characters of messages that were not taken.
    """

    def __init__(self, most_characters: int) -> None:
        self.shown: list[Output] = []
        self.dropped = 0
        self._room = most_characters
        self._parts: list[str] = []
        self._clears = False

    def publish(self, chunk: str, last: bool) -> None:
        """Take a piece of a message; the kernel calls it."""
        if not isinstance(chunk, str):
            raise TypeError("a chunk is text")
        if len(chunk) > self._room:
            self.dropped += len(chunk)
            self._parts.clear()
            return
        self._room -= len(chunk)
        self._parts.append(chunk)
        if last:
            text, self._parts = "".join(self._parts), []
            self._take(text)

    def _take(self, text: str) -> None:
        try:
            kind, content = _without_halves(json.loads(text))
            if kind == "clear_output":
                self._clear(wait=bool(content.get("wait")))
            else:
                self._add(_output(kind, content))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.dropped += len(text)

    def _clear(self, wait: bool) -> None:
        self._clears = wait
        if not wait:
            self.shown.clear()

    def _add(self, output: Output) -> None:
        if output.type == "update_display_data" and self._updated(output):
            return
        if self._clears:
            self._clear(wait=False)
        last = self.shown[-1] if self.shown else None
        if output.type == "stream" and last is not None and (last.type, last.name) == ("stream", output.name):
            last.text += output.text
        elif len(self.shown) < MAX_OUTPUTS:
            self.shown.append(output)
        else:
            self.dropped += len(output.text)

    def _updated(self, update: Output) -> bool:
        """Put an update in the place of what it is of; return whether that is an output of this cell."""
        found = [one for one in self.shown if one.display_id == update.display_id and one.type in ANSWERS]
        for one in found:
            one.text, one.data, one.images = update.text, update.data, update.images
        return bool(found)


def _output(kind: str, content: dict[str, Any]) -> Output:
    """Return a message as an output.

    Raises:
        ValueError: It has not the right form.
        KeyError: Something is missing.
    """
    if kind == "stream":
        return Output(type="stream", name=content["name"], text=content["text"])
    if kind == "error":
        traceback = "\n".join(content["traceback"])
        return Output(type="error", name=content["ename"], text=content["evalue"], traceback=traceback)
    output = Output(
        type=kind,  # type: ignore[arg-type]  # validated
        text=content["data"].get("text/plain", ""),
        display_id=content.get("transient", {}).get("display_id") or "",
        execution_count=content.get("execution_count"),
    )
    for mime, value in content["data"].items():
        if mime.startswith(BINARY) and mime != "image/svg+xml":
            output.images[mime] = _decoded(value)
        elif mime != "text/plain":
            output.data[mime] = value if isinstance(value, str) else json.dumps(value)
    return output


def _without_halves(value: Any) -> Any:
    """Return what JSON stands for without halves of characters, which no encoding has."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
