"""Two ways to play an episode: with all answers, and with none. They bound what any agent can earn."""

from typing import Any

from .models import JupyterAction

MAX_RETURN = 1.0
MIN_RETURN = 0.0

READ = "import csv\nrows = list(csv.reader(open({!r})))"

SOLUTIONS = {
    "regions": [
        READ.format("sales.csv"),
        "from collections import Counter\n"
        "revenue = Counter()\n"
        "for day, region, units, price in rows[1:]:\n"
        "    if units:\n"
        "        revenue[region] += int(units) * int(price)\n"
        "answer = revenue.most_common(1)[0][0]\n"
        "answer",
    ],
    "sensor": [
        READ.format("readings.csv"),
        "kept = [float(value) for _, value in rows[1:] if -100 <= float(value) <= 100]\n"
        "answer = sum(kept) / len(kept)\n"
        "answer",
    ],
    "totals": [
        READ.format("customers.csv") + "\nname = dict(rows[1:])",
        "spent = dict.fromkeys(name.values(), 0)\n"
        "for _, customer, cents in list(csv.reader(open('orders.csv')))[1:]:\n"
        "    spent[name[customer]] += int(cents)\n"
        "with open('totals.csv', 'w', newline='') as file:\n"
        "    table = sorted(spent.items(), key=lambda one: (-one[1], one[0]))\n"
        "    csv.writer(file).writerows([('name', 'cents'), *table])",
    ],
    "heatmap": [
        READ.format("grid.csv"),
        "import struct, zlib\n"
        "def chunk(kind, data):\n"
        "    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))\n"
        "size = struct.pack('>IIBBBBB', len(rows[0]), len(rows), 8, 0, 0, 0, 0)\n"
        "lines = b''.join(b'\\0' + bytes(map(int, row)) for row in rows)\n"
        "png = b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', size) + chunk(b'IDAT', zlib.compress(lines))\n"
        "png += chunk(b'IEND', b'')\n"
        "written = open('grid.png', 'wb').write(png)",
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
