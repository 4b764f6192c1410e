"""Solves a task of jupyter_env in a notebook: python examples/jupyter.py [--no-sandbox]

The kernel is a real one, so values come in all their forms: text, errors, HTML, and pictures as bytes.
"""

import argparse

from jupyter_env import JupyterAction, JupyterEnv, Output
from openenv.providers import ProcessProvider, SandboxProvider

CELLS = (
    "!head -4 sales.csv",
    "import csv\nsales = list(csv.DictReader(open('sales.csv')))\nsum(int(sale['units']) for sale in sales)",
    """from collections import Counter
revenue = Counter()
for sale in sales:
    if sale['units']:
        revenue[sale['region']] += int(sale['units']) * int(sale['price'])
revenue""",
    """try:
    import matplotlib.pyplot as plt
    plt.bar(revenue.keys(), revenue.values())
except ImportError:
    print('without matplotlib, no picture')""",
    "answer = revenue.most_common(1)[0][0]\nanswer",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    provider = ProcessProvider() if parser.parse_args().no_sandbox else SandboxProvider()
    with JupyterEnv.with_provider(provider) as env:
        task = env.reset(task_id="regions", seed=1).observation
        print(f"The task {task.task_id}, with {', '.join(task.files)}:\n{task.instructions}\n")
        for number, code in enumerate(CELLS, 1):
            print(f"In [{number}]: " + code.replace("\n", "\n        "))
            (cell,) = env.step(JupyterAction(code=code)).observation.cells
            for output in cell.outputs:
                show(output)
            print()
        result = env.step(JupyterAction(submit=True))
        print(f"Handed in: reward {result.reward}, done {result.done}")


def show(output: Output) -> None:
    if output.type == "error":
        print(f"{output.name}: {output.text}")
        return
    print(f"Out[{output.execution_count}]: {output.text}" if output.execution_count else output.text.rstrip())
    for kind, data in output.images.items():
        print(f"[{kind}, {len(data):,} bytes]")


if __name__ == "__main__":
    main()
