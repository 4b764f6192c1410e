"""Two ways to play an episode: with all answers, and with none. They bound what any agent can earn."""

from typing import Any

from .models import JupyterAction

MAX_RETURN = 1.0
MIN_RETURN = 0.0

READ = "import csv\nrows = list(csv.reader(open({!r})))"

SOLUTIONS = {
    "regions": [
        READ.format("sales.csv"),
        """
from collections import Counter
revenue = Counter()
for day, region, units, price in rows[1:]:
    if units:
        revenue[region] += int(units) * int(price)
answer = revenue.most_common(1)[0][0]
answer""",
    ],
    "sensor": [
        READ.format("readings.csv"),
        """
kept = [float(value) for _, value in rows[1:] if -100 <= float(value) <= 100]
answer = sum(kept) / len(kept)
answer""",
    ],
    "totals": [
        READ.format("customers.csv") + "\nname = dict(rows[1:])",
        """
spent = dict.fromkeys(name.values(), 0)
for _, customer, cents in list(csv.reader(open("orders.csv")))[1:]:
    spent[name[customer]] += int(cents)
with open("totals.csv", "w", newline="") as file:
    table = sorted(spent.items(), key=lambda one: (-one[1], one[0]))
    csv.writer(file).writerows([("name", "cents"), *table])""",
    ],
    "heatmap": [
        READ.format("grid.csv"),
        r"""
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
lines = b"".join(b"\0" + bytes(map(int, row)) for row in rows)
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
with open("grid.png", "wb") as file:
    file.write(png)""",
        "from IPython.display import Image\nImage('grid.png')",
    ],
}


def oracle(env: Any, **task: Any) -> float:
    """Play an episode, the cells of its solution one after the other, and return the sum of its rewards.

    Args:
        env: A blocking client.
        **task: What `reset` is given, such as `task_id`; a seed by default.
    """
    observation = env.reset(**(task or {"seed": 0})).observation
    first, *more = SOLUTIONS[observation.task_id]
    results = [env.step(JupyterAction(code=first)), env.step(JupyterAction(cells=more, submit=True))]
    return sum(result.reward or 0.0 for result in results)


def null(env: Any, **task: Any) -> float:
    """Hand in nothing, and return the sum of the rewards.

    Args:
        env: A blocking client.
        **task: As for `oracle`.
    """
    env.reset(**(task or {"seed": 0}))
    return env.step(JupyterAction(submit=True)).reward or 0.0
