"""Figures as a table for people, as Markdown for `RESULTS.md`, and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks._figures import Figure
from benchmarks._peer import VERSION
from benchmarks._plots import Plot

COLUMNS = ("what", "this project", f"release {VERSION}", "ratio", "limit", "verdict", "rounds, notes")
_IDLE_SHARE = 0.6  # of the cores; what a machine shows that has just built and tested something
_COLOURS = {"meets": "green", "misses": "red", "not compared": "yellow"}


def machine() -> str:
    """Return one line that says what this was measured on, and when."""
    return ", ".join(
        [
            _cpu(),
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before",
            f"{platform.system()} {platform.release().partition('-')[0]}",
            f"{platform.python_implementation()} {platform.python_version()}",
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        ]
    )


def busy() -> str:
    """Return a warning if other programs keep this machine busy; call it before anything is measured."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= cores * _IDLE_SHARE:
        return ""
    return (
        f"The load was {load:.1f} on {cores} cores before the run: other programs took part, and rates and seconds "
        "are worth little. The CPU times of a step are steadier; better, run it again on an idle machine."
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def row(figure: Figure) -> tuple[str, ...]:
    """Return the cells of a figure, in the order of `COLUMNS`."""
    return (
        figure.what,
        _number(figure.value, figure),
        "" if figure.peer is None else _number(figure.peer, figure),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        _limit(figure),
        figure.verdict,
        figure.note,
    )


def _number(value: float, figure: Figure) -> str:
    return f"{value:,.{figure.digits}f}{'' if figure.unit == '/s' else ' '}{figure.unit}".strip()


def _limit(figure: Figure) -> str:
    limit = figure.limit
    if limit is None:
        return ""
    sign = "≤" if limit.kind == "most" else "≥"
    return (
        f"ratio {sign} {limit.bound:g}" if limit.of == "ratio" else f"{sign} {limit.bound:g} {figure.unit}".strip()
    )


def show(groups: dict[str, list[Figure]], where: str, console: Console) -> None:
    """Print the figures of each benchmark."""
    table = Table(caption=where, caption_justify="left", pad_edge=False)
    for column in COLUMNS:
        numeric = column not in (COLUMNS[0], COLUMNS[-1], "verdict")
        table.add_column(column, justify="right" if numeric else "left")
    for figures in groups.values():
        for figure in figures:
            *cells, verdict, note = row(figure)
            colour = _COLOURS.get(verdict)
            table.add_row(*cells, f"[{colour}]{verdict}[/]" if colour else verdict, note)
        table.add_section()
    console.print(table)


def markdown(
    groups: dict[str, list[Figure]], where: str, command: str, *warnings: str, plots: Sequence[Plot] = ()
) -> str:
    """Return the document that stands in the repository; empty warnings are left out."""
    lines = [
        "# Measured figures",
        "",
        f"Made by `{command}`; do not edit. Measured on: {where}.",
        "",
        "Throughput is the median of the rounds; beside it stand the lowest and highest round, and the CPU time",
        "of a step in the client and in the server process. Both implementations ran in the same rounds, one",
        "after the other, each with its own library on both ends of one loopback. A ratio is this project's",
        f"figure divided by the other's. Release {VERSION} has neither Unix domain sockets nor sessions on several",
        "processes: against lines that use them stands what it reaches over TCP, in one process. Limits are those",
        "of the lines over TCP.",
        "",
    ]
    if plots:
        lines += [*(f"![{plot.title}](plots/{plot.name}.png)" for plot in plots), ""]
    for warning in filter(None, warnings):
        lines += [warning, ""]
    for name, figures in groups.items():
        lines += [f"## {name}", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        lines += [_line(row(figure)) for figure in figures]
        lines.append("")
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(groups: dict[str, list[Figure]], where: str) -> str:
    """Return everything that was measured, for programs."""
    figures: list[dict[str, Any]] = [
        {"benchmark": name, **asdict(figure), "ratio": figure.ratio, "verdict": figure.verdict}
        for name, measured in groups.items()
        for figure in measured
    ]
    return json.dumps({"machine": where, "figures": figures}, indent=2) + "\n"
