"""The report of `openenv eval` for people."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.evals import EpisodeResult, Report

ROWS = 40
"""Seeds that are listed of each environment; the figures are of all."""

_HEADINGS = ("environment", "seed", "episodes", "reward", "success", "turns", "outcome")


def shown(report: Report) -> str:
    """Return the table of the seeds and the figures of each environment."""
    lines: list[str] = []
    for environment in dict.fromkeys(one.environment for one in report.episodes):
        groups = report.groups(environment)
        rows = [_row(report, seed, group) for (_, seed), group in list(groups.items())[:ROWS]]
        lines += [*_table([(environment, *row) for row in rows]), ""]
        if len(groups) > ROWS:
            lines[-1:] = [f"... and {len(groups) - ROWS} more seeds", ""]
        lines += [*_figures(report, environment), ""]
    troubles = report.about.get("endpoint_troubles")
    if troubles:
        lines.append(f"What the endpoint did not answer at once: {_counted(troubles)}")
    details = [f"{one.cause}: {one.detail}" for one in report.episodes if one.is_fault and one.detail]
    lines += [f"Broken: {detail}" for detail in dict.fromkeys(details)][:5]
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines)


def _row(report: Report, seed: int | None, group: list[EpisodeResult]) -> tuple[str, ...]:
    counted = [one for one in group if not one.is_fault]
    rewards = [one.reward for one in counted if one.reward is not None]
    return (
        "-" if seed is None else str(seed),
        str(len(group)),
        f"{fmean(rewards):.4g}" if rewards else "-",
        f"{sum(map(report.succeeded, counted))}/{len(counted)}" if counted else "-",
        f"{fmean(one.turns for one in counted):.3g}" if counted else "-",
        _counted(Counter(map(_outcome, group))),
    )


def _outcome(episode: EpisodeResult) -> str:
    return episode.status if episode.cause == "none" else f"{episode.status} ({episode.cause})"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    right = {"seed", "episodes", "reward", "success", "turns"}
    return [
        "  ".join(
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, _HEADINGS, strict=True)
        ).rstrip()
        for row in (tuple(heading.upper() for heading in _HEADINGS), *rows)
    ]


def _figures(report: Report, environment: str) -> list[str]:
    found = report.summary(environment)
    lines = [("reward", _estimate(found["reward"])), ("success", _estimate(found["success"]))]
    if found["success"] is not None:
        lines[1] = ("success", f"{lines[1][1]}, of reward {found['success_at']:g} or more")
    for k, value in found["pass_at_k"].items():
        over = f"over {found['pass_at_k_seeds'][k]} of {found['seeds']} seeds"
        lines.append((f"pass@{k}", f"{'-' if value is None else f'{value:.4g}'}, {over}"))
    lines.append(("outcomes", _counted(found["outcomes"]) or "-"))
    if found["graded"] < found["counted"]:
        lines.append(("not graded", f"{found['counted'] - found['graded']} of {found['counted']}"))
    if found["invalid_actions"]:
        lines.append(("invalid", f"{found['invalid_actions']} actions"))
    if found["prompt_tokens"]:
        lines.append(("tokens", f"{found['prompt_tokens']} read, {found['completion_tokens']} written"))
    if found["faults"]:
        broken = found["episodes"] - found["counted"]
        lines.append(("left out", f"{broken} of {found['episodes']} episodes broke: {_counted(found['faults'])}"))
    width = max(len(name) for name, _ in lines)
    return [f"{name.ljust(width)}  {text}" for name, text in lines]


def _estimate(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    if found["low"] is None:
        return f"{found['value']:.4g}"
    return f"{found['value']:.4g} (95 %: {found['low']:.4g} to {found['high']:.4g})"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))
