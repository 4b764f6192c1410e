"""The terminal environment: a shell that stays, files, and tasks whose tests the agent never sees."""

from .client import TerminalEnv
from .models import (
    ReadFile,
    RunCommand,
    SendKeys,
    Submit,
    TerminalObservation,
    TerminalState,
    TestOutcome,
    WriteFile,
)

__all__ = [
    "ReadFile",
    "RunCommand",
    "SendKeys",
    "Submit",
    "TerminalEnv",
    "TerminalObservation",
    "TerminalState",
    "TestOutcome",
    "WriteFile",
]
