"""Compares what clients were told with what environments did. Whatever does not fit is counted by its name."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.books import JOURNAL, LEDGER, read

NOT_EXECUTED = {
    "NOT_RESET",
    "EPISODE_ENDED",
    "VALIDATION_ERROR",
    "INVALID_JSON",
    "SESSION_NOT_FOUND",
    "CAPACITY_REACHED",
    "CONNECTION_FAILED",
    "FACTORY_ERROR",
}
"""Codes that promise that nothing was executed."""

OPENING = {"SESSION_LOST", "CONNECTION_FAILED", "BUDGET_EXCEEDED"}
"""What may befall whoever is only about to open a session, wherever connections are lost."""

VIOLATIONS = (
    "wrong replies",
    "duplicated steps",
    "lost steps",
    "steps without reset",
    "lost sessions",
    "unexpected errors",
    "requests without answer",
    "leaked sessions",
    "leaked environments",
    "leaked processes",
    "leaked threads",
    "leaked descriptors",
    "errors in a log",
)
"""Everything that must not be, as the table names it."""

Line = dict[str, Any]


@dataclass
class Asked:
    """One reset or step of a client.

    Attributes:
        ask: What it wrote down before it asked.
        end: What it wrote down of the answer; None if it never got one.
        killed: The client was killed, so nobody can say whether it got one.
    """

    ask: Line
    end: Line | None
    killed: bool

    @property
    def code(self) -> str | None:
        """The code of the error it got, if it got one."""
        return self.end["code"] if self.end is not None and self.end["do"] == "failed" else None


@dataclass
class Findings:
    """What an audit has found.

    Attributes:
        violations: How many of each kind.
        examples: A few words on some of them.
        told: Resets and steps that were answered with a result.
        executed: Resets and steps that environments wrote down.
        errors: How many errors of each code clients got.
    """

    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    told: int = 0
    executed: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, what: Any, times: int = 1) -> None:
        """Count a violation."""
        assert kind in VIOLATIONS
        self.violations[kind] += times
        if self.violations[kind] <= 3 + times:
            self.examples.append(f"{kind}: {what}")


def audit(folder: Path, allowed: Iterable[str] = ()) -> Findings:
    """Compare all books of a folder.

    Args:
        folder: Where they are.
        allowed: Codes of errors that a request in a session may get, given what befell it.
    """
    findings = Findings()
    executed = _walk_ledgers(folder, findings)
    asked = _read_journals(folder, findings)
    for one in asked.values():
        _check_answer(one, executed.get(one.ask["token"], []), set(allowed), findings)
    _check_gaps(asked, executed, findings)
    for token in executed.keys() - asked.keys():
        findings.add("wrong replies", f"nobody asked for {token}")
    return findings


def _walk_ledgers(folder: Path, findings: Findings) -> dict[str, list[Line]]:
    """Check each environment's own story; return what was executed under each name."""
    executed: dict[str, list[Line]] = defaultdict(list)
    for instance, lines in read(folder, LEDGER):
        episode, closed = None, False
        for line in lines[1:]:
            if closed:
                findings.add("steps without reset", f"{line} after {instance} was closed")
            if line["do"] == "close":
                closed = True
                continue
            findings.executed += 1
            executed[line["token"]].append({**line, "instance": instance})
            if line["do"] == "reset":
                episode = line["token"]
            elif episode is None or line["claimed"] != episode or line["episode"] != episode:
                findings.add("steps without reset", f"{line} in episode {episode}")
    for token, entries in executed.items():
        if len(entries) > 1:
            findings.add("duplicated steps", f"{token} {len(entries)} times: {entries}", len(entries) - 1)
    return executed


def _read_journals(folder: Path, findings: Findings) -> dict[str, Asked]:
    asked: dict[str, Asked] = {}
    for _, lines in read(folder, JOURNAL):
        killed = not any(line["do"] == "end" for line in lines)
        for line in lines:
            if line["do"] == "ask":
                asked[line["token"]] = Asked(line, None, killed)
            elif line["do"] in ("told", "failed", "gave up", "opened"):
                asked[line["token"]].end = line
            elif line["do"] == "crash":
                findings.add("unexpected errors", line["what"])
            elif line["do"] == "leak":
                findings.add(f"leaked {line['what']}", f"{line} in a client", line["number"])
            elif line["do"] == "state" and not line["fits"]:
                findings.add("wrong replies", line)
    return asked


def _check_answer(one: Asked, entries: list[Line], allowed: set[str], findings: Findings) -> None:
    token = one.ask["token"]
    if one.end is None:
        if not one.killed:
            findings.add("requests without answer", one.ask)
    elif one.end["do"] == "told":
        findings.told += 1
        seen = one.end["seen"]
        if seen["token"] != token:
            findings.add("wrong replies", f"{one.ask} was answered with {seen}")
        elif not entries:
            findings.add("lost steps", f"{one.ask} was answered, and never executed")
        elif not any(_same(seen, entry) for entry in entries):
            findings.add("wrong replies", f"{seen} of {entries}")
    elif (code := one.code) is not None:
        findings.errors[code] += 1
        if code in NOT_EXECUTED and entries:
            findings.add("wrong replies", f"{one.ask} was refused with {code}, and executed")
        if code in allowed or (one.ask["opening"] and code in OPENING):
            return
        if code == "EPISODE_ENDED" and one.ask["unsure"]:
            return
        kind = "lost sessions" if code in ("SESSION_LOST", "SESSION_NOT_FOUND") else "unexpected errors"
        findings.add(kind, f"{one.ask}: {code} {one.end['message']}")


def _same(seen: Line, entry: Line) -> bool:
    if entry["do"] == "reset":
        return bool(seen["instance"] == entry["instance"] and seen["episode"] == seen["token"])
    return all(seen[key] == entry[key] for key in ("instance", "episode", "count"))


def _check_gaps(asked: dict[str, Asked], executed: dict[str, list[Line]], findings: Findings) -> None:
    """A step that was executed has all steps before it in its episode executed before it."""
    episodes: dict[str, list[Asked]] = defaultdict(list)
    for one in asked.values():
        if one.ask["verb"] == "step":
            episodes[one.ask["episode"]].append(one)
    for steps in episodes.values():
        done = [one for one in steps if executed.get(one.ask["token"])]
        last = steps.index(done[-1]) if done else 0
        for one in steps[:last]:
            if one.ask["token"] not in executed and one.code not in NOT_EXECUTED:
                findings.add("lost steps", f"{one.ask} was left out")
        counts = [executed[one.ask["token"]][0]["count"] for one in done]
        if counts != sorted(counts):
            findings.add("lost steps", f"out of order: {counts} in {steps[0].ask['episode']}")


def open_environments(folder: Path) -> list[str]:
    """Return the environments that were never closed, and whose process still runs."""
    found = []
    for file in folder.glob(f"{LEDGER}-*.jsonl"):
        text = file.read_bytes()
        if not text.endswith(b'{"do":"close"}\n'):
            pid = json.loads(text.partition(b"\n")[0])["pid"]
            if Path(f"/proc/{pid}").exists():
                found.append(file.stem)
    return found
