"""The tasks: what is to be done, the files for it, and how what was handed in is graded, from outside.

The files are drawn anew from each seed, so an answer cannot be learnt by heart. What is right is worked out here,
in the server's process, from the numbers that the files were made of.
"""

import asyncio
import csv
import io
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from openenv.errors import ConfigurationError, InvalidRequestError
from openenv.execution import Workspace

from .picture import PictureError, grey

MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class HandedIn:
    """What an agent leaves at the end.

    Attributes:
        workspace: Where its files are.
        answer: The notebook's variable `answer`, if that is a plain value.
    """

    workspace: Workspace
    answer: Any


@dataclass(frozen=True)
class Task:
    """A task, with its files.

    Attributes:
        id: Its name.
        instructions: What is to be done.
        grade: Returns the reward for what was handed in, from 0 to 1.
        files: Files of the work folder, by name.
    """

    id: str
    instructions: str
    grade: Callable[[HandedIn], Awaitable[float]]
    files: dict[str, bytes] = field(default_factory=dict)


def answers(right: Any, tolerance: float = 0.0) -> Callable[[HandedIn], Awaitable[float]]:
    """Return a grader that compares the variable `answer`: numbers within the tolerance, all else for equality."""

    async def grade(work: HandedIn) -> float:
        return float(_equal(work.answer, right, tolerance))

    return grade


def _equal(answer: Any, right: Any, tolerance: float) -> bool:
    numbers = (int, float)
    if isinstance(right, numbers) and not isinstance(right, bool):
        if not isinstance(answer, numbers) or isinstance(answer, bool):
            return False
        return right - tolerance <= answer <= right + tolerance
    if isinstance(right, list | tuple):
        return (
            isinstance(answer, list | tuple)
            and len(answer) == len(right)
            and all(_equal(one, other, tolerance) for one, other in zip(answer, right, strict=True))
        )
    return type(answer) is type(right) and bool(answer == right)


# --- the tasks ---------------------------------------------------------------------------------------


def regions(random: Random) -> Task:
    """Say which region has the greatest revenue."""
    names = ["north", "south", "east", "west", "centre"]
    revenue = dict.fromkeys(names, 0)
    rows: list[list[object]] = [["day", "region", "units", "price"]]
    for _ in range(400):
        region, units, price = random.choice(names), random.randint(1, 20), random.randint(3, 60)
        missing = random.random() < 0.1
        rows.append([random.randint(1, 365), region, "" if missing else units, price])
        revenue[region] += 0 if missing else units * price
    best = max(names, key=lambda name: revenue[name])
    return Task(
        "regions",
        "sales.csv lists sales. The revenue of a sale is units times price; where the units are missing, leave the "
        "sale out. Set the variable `answer` to the name of the region with the greatest revenue in all.",
        answers(best),
        {"sales.csv": _csv(rows)},
    )


def sensor(random: Random) -> Task:
    """Work out a mean without what a broken sensor has said."""
    rows: list[list[object]] = [["minute", "celsius"]]
    kept = []
    for minute in range(600):
        value = round(random.gauss(21, 4), 1)
        if random.random() < 0.05:
            value = random.choice([-999.0, 999.0])
        else:
            kept.append(value)
        rows.append([minute, value])
    return Task(
        "sensor",
        "readings.csv has one temperature a minute. A reading below -100 or above 100 is an error of the sensor. "
        "Set the variable `answer` to the mean of the other readings, right to 0.001.",
        answers(sum(kept) / len(kept), 0.001),
        {"readings.csv": _csv(rows)},
    )


def totals(random: Random) -> Task:
    """Join two tables and write a third."""
    people = [
        f"{random.choice('BDGKLMNPRST')}{random.choice(['ara', 'ito', 'onne', 'ulia'])}{n}" for n in range(12)
    ]
    customers: list[list[object]] = [["id", "name"], *([n + 100, name] for n, name in enumerate(people))]
    orders: list[list[object]] = [["order", "customer_id", "cents"]]
    spent = dict.fromkeys(people, 0)
    for number in range(150):
        n, cents = random.randrange(len(people)), random.randint(100, 9000)
        orders.append([number, n + 100, cents])
        spent[people[n]] += cents
    right = [["name", "cents"], *([name, str(spent[name])] for name in sorted(spent, key=lambda n: (-spent[n], n)))]

    async def grade(work: HandedIn) -> float:
        try:
            text = (await work.workspace.read("totals.csv", most_bytes=MOST_BYTES)).decode()
            return float([row for row in csv.reader(io.StringIO(text)) if row] == right)
        except (OSError, UnicodeDecodeError, csv.Error):
            return 0.0

    return Task(
        "totals",
        "customers.csv and orders.csv belong together. Write totals.csv with the columns name,cents: what each "
        "customer has spent in all, the greatest sum first, and customers with the same sum by name.",
        grade,
        {"customers.csv": _csv(customers), "orders.csv": _csv(orders)},
    )


def heatmap(random: Random) -> Task:
    """Draw a table as a picture."""
    width, height = 40, 30
    pixels = [[random.randrange(256) for _ in range(width)] for _ in range(height)]

    async def grade(work: HandedIn) -> float:
        try:
            data = await work.workspace.read("grid.png", most_bytes=MOST_BYTES)
            return float(await asyncio.to_thread(grey, data) == pixels)
        except (OSError, PictureError):
            return 0.0

    return Task(
        "heatmap",
        "grid.csv is a table of numbers from 0 to 255, without a header. Draw it as the picture grid.png: one "
        "pixel for each number, 0 is black and 255 is white, in grey or in colours that are grey.",
        grade,
        {"grid.csv": _csv(pixels)},
    )


SHIPPED: dict[str, Callable[[Random], Task]] = {make.__name__: make for make in (regions, sensor, totals, heatmap)}


def folder_tasks(folder: str | os.PathLike[str]) -> dict[str, Callable[[Random], Task]]:
    """Return the tasks of a folder: for each a folder with `instructions.md`, `answer.json` and `files/`.

    `answer.json` is `{"answer": ..., "tolerance": 0.01}`, to be compared with the notebook's variable `answer`.

    Raises:
        ConfigurationError: A task cannot be read.
    """
    found = {}
    try:
        for place in sorted(Path(folder).iterdir()):
            if place.is_dir():
                found[place.name] = _folder_task(place)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"The tasks in {os.fspath(folder)} cannot be read: {error}") from error
    return found


def _folder_task(place: Path) -> Callable[[Random], Task]:
    told = json.loads((place / "answer.json").read_text("utf-8"))
    files = {str(file.relative_to(place / "files")): file.read_bytes() for file in place.glob("files/**/*.*")}
    grade = answers(told["answer"], told.get("tolerance", 0.0))
    task = Task(place.name, (place / "instructions.md").read_text("utf-8"), grade, files)
    return lambda _: task


def choose(tasks: dict[str, Callable[[Random], Task]], task_id: str | None, random: Random) -> Task:
    """Return the task of that name, or one that is drawn.

    Raises:
        InvalidRequestError: There is no such task.
    """
    drawn = random.choice(sorted(tasks))
    name = task_id if task_id is not None else drawn
    if name not in tasks:
        raise InvalidRequestError(f"There is no task {name!r}; there are {', '.join(sorted(tasks))}")
    return tasks[name](random)


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
