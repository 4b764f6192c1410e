"""What a server says unasked."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from openenv.models import Model
from openenv.protocol.messages import ErrorData


class ProgressData(Model):
    """How far a request is; more keys may be given.

    Attributes:
        fraction: How much is done, from 0 to 1; null if that is not known.
        message: What is being done.
    """

    model_config = ConfigDict(extra="allow")

    fraction: float | None = None
    message: str = ""


class Progress(Model):
    """How a long request gets on; unasked.

    Attributes:
        id: Of the request.
        session: Whose.
        data: What the environment says of it.
    """

    id: int
    type: Literal["progress"] = "progress"
    session: str
    data: ProgressData


class Ended(Model):
    """A session is over, and why; unasked.

    Attributes:
        session: Which one.
        data: Why.
    """

    type: Literal["ended"] = "ended"
    session: str
    data: ErrorData
