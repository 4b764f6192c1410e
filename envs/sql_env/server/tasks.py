"""The tasks of a folder: `tasks.yaml`, and for each database named there a script that makes it."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from openenv.errors import ConfigurationError

__all__ = ["SHIPPED", "Task", "choose", "load"]

SHIPPED = Path(__file__).parent.parent / "tasks"

_KEYS = {"id", "database", "instruction", "reference", "changes", "ordered"}
# What an ORDER BY does not count in: texts, quoted names, comments.
_ASIDE = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORDS = re.compile(r"\(|\)|\border\s+by\b", re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """A question about a database, or a change to it.

    Attributes:
        id: Its name.
        instruction: What the agent is told.
        script: SQL that makes the database.
        reference: Statements; the last one gives the rows of the answer. The agent never sees them.
        changes: Tables that are compared after the change; empty for a question.
        ordered: Whether the order of the rows matters.
    """

    id: str
    instruction: str
    script: str
    reference: tuple[str, ...]
    changes: tuple[str, ...] = ()
    ordered: bool = False


def load(folder: Path = SHIPPED) -> dict[str, Task]:
    """Return the tasks of a folder by their ids.

    Raises:
        ConfigurationError: A file is missing, or is not what it should be.
    """
    try:
        listed = yaml.safe_load((folder / "tasks.yaml").read_text("utf-8"))
        tasks = [_task(folder, each) for each in listed]
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{folder} has no tasks: it needs a tasks.yaml, a list of objects with id, database, instruction and "
            f"reference, and a DATABASE.sql for each database. {type(error).__name__}: {error}"
        ) from error
    if not tasks:
        raise ConfigurationError(f"{folder / 'tasks.yaml'} is an empty list")
    return {task.id: task for task in tasks}


def choose(tasks: Mapping[str, Task], seed: int | None) -> Task:
    """Return one of the tasks; the same one for the same seed."""
    return tasks[random.Random(seed).choice(sorted(tasks))]


def _task(folder: Path, each: dict[str, Any]) -> Task:
    if unknown := set(each) - _KEYS:
        raise KeyError(f"{each.get('id')}: unknown: {', '.join(sorted(unknown))}")
    reference = each["reference"]
    statements = (reference,) if isinstance(reference, str) else tuple(reference)
    return Task(
        id=each["id"],
        instruction=each["instruction"],
        script=(folder / f"{each['database']}.sql").read_text("utf-8"),
        reference=statements,
        changes=tuple(each.get("changes", ())),
        ordered=each.get("ordered", _orders(statements[-1])),
    )


def _orders(sql: str) -> bool:
    """Whether a query orders its rows itself, and not only within parentheses."""
    depth = 0
    for found in _WORDS.finditer(_ASIDE.sub(" ", sql)):
        word = found.group()
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and word not in "()":
            return True
    return False
