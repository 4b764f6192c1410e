"""Plots: what there is to draw, as plain data that a benchmark makes, and how it is drawn.

A benchmark hands its curves over whether they are wanted or not; only `--plot` needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._figures import BenchmarkError

FOLDER = Path(__file__).with_name("plots")


@dataclass(frozen=True)
class Curve:
    """Points that belong together.

    Attributes:
        name: What they are called in the legend.
        points: `(x, y)`, by x.
        peer: Whether they are of release 0.10.0.
    """

    name: str
    points: Sequence[tuple[float, float]]
    peer: bool = False


@dataclass(frozen=True)
class Line:
    """A level to compare with, such as a limit."""

    name: str
    y: float


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes:
        name: Of its file, without the suffix.
        title: Says what is to be seen.
        x: What is on the horizontal axis, with its unit; it is logarithmic.
        y: What is on the vertical axis, with its unit.
        curves: What is drawn.
        lines: Levels to compare with.
        log_y: Whether the vertical axis is logarithmic; else it begins at 0.
        command: What makes it.
        note: What a reader has to know.
    """

    name: str
    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    lines: Sequence[Line] = ()
    log_y: bool = True
    command: str = ""
    note: str = ""


def draw(plot: Plot, where: str, folder: Path = FOLDER) -> Path:
    """Draw a plot and return its file.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    try:
        from matplotlib import ticker
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchmarkError("--plot needs matplotlib: pip install 'openenv[dev]'") from error
    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    for number, curve in enumerate(plot.curves):
        xs, ys = zip(*curve.points, strict=True)
        axes.plot(xs, ys, label=curve.name, **_style(number, curve))
        axes.annotate(
            _short(ys[-1]), (xs[-1], ys[-1]), textcoords="offset points", xytext=(6, 3), fontsize=8, color="#444444"
        )
    for line in plot.lines:
        axes.axhline(line.y, color="#b03030", linestyle=":", linewidth=1.2, label=line.name)
    axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: _short(y)))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.margins(x=0.08)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.grid(True, which="major", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    below = "\n".join(filter(None, (plot.note, f"{plot.command}   ({where})")))
    figure.supxlabel(below, fontsize=7, color="#666666")
    folder.mkdir(exist_ok=True)
    file = folder / f"{plot.name}.png"
    figure.savefig(file, metadata={"Software": None})
    return file


_COLOURS = ("#1f6fb4", "#2a9d57", "#7b4fa3", "#c98a1b", "#3aa6b9")


def _style(number: int, curve: Curve) -> dict[str, Any]:
    if curve.peer:
        return {"color": "#777777", "linestyle": "--", "marker": "s", "markersize": 4}
    return {"color": _COLOURS[number % len(_COLOURS)], "marker": "o", "markersize": 4.5, "linewidth": 1.8}


def _short(number: float) -> str:
    """Return a number as a label of two or three digits."""
    if number >= 995:
        return f"{number / 1000:,.{0 if number >= 9950 else 1}f}k".replace(".0k", "k")
    return f"{number:.0f}" if number >= 9.95 else f"{number:.2g}"
