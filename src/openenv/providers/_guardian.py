"""A process beside a program: when the program is gone, it has everything reaped that engines still keep for it.

It is run by path (`python -I -S _guardian.py CONTROL PROGRAM COMMAND...`) and imports next to nothing, for it waits
as long as the program lives. The work itself is `openenv gc`, started when there is some.

The program holds the other end of a socket, the control. Through it come lines

    + NAME KEY   the thing of that name is being made; KEY is arguments for the command, as a JSON list
    - NAME       it is gone

and its end. SIGKILL of the program is an end like any other.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time

# An engine may be down for the moment; these are the seconds before each attempt.
PAUSES_S = (0, 2, 10, 60, 300)
# What an engine was making when the program ended may be there only a while later: an attempt that went well is the
# last one only if it came after a pause of so many seconds.
SETTLED_S = 60
# Seconds that one attempt may take.
LIMIT_S = 600
# How often to look whether the program still lives where the system does not tell of it.
LOOK_MS = 500


def main(control: int, program: int, command: list[str]) -> None:
    """Wait for the program's end, then have reaped what is left.

    Args:
        control: Descriptor of the control socket.
        program: Process id of the program.
        command: The start of a command line; `--name NAME` for each thing and its KEY are appended.
    """
    os.set_inheritable(control, False)
    for number in (signal.SIGINT, signal.SIGHUP):  # they are meant for the program
        signal.signal(number, signal.SIG_IGN)
    _reap_all(command, _left_when_gone(control, program))


def _left_when_gone(control: int, program: int) -> dict[str, list[str]]:
    left: dict[str, str] = {}
    unread = b""
    for received in _until_gone(control, program):
        *lines, unread = (unread + received).split(b"\n")
        for line in lines:
            sign, name, *key = line.decode().split(" ", 2)
            if sign == "+":
                left[name] = key[0]
            else:
                left.pop(name, None)
    by_key: dict[str, list[str]] = {}
    for name, text in left.items():
        by_key.setdefault(text, []).append(name)
    return by_key


def _until_gone(control: int, program: int):  # type: ignore[no-untyped-def]  # typing takes longer than all this
    """Yield what comes over the control until the program is gone, though a fork of it may hold the other end."""
    events = select.poll()
    events.register(control, select.POLLIN)
    end = None
    try:
        end = os.pidfd_open(program)
        events.register(end, select.POLLIN)
    except (AttributeError, OSError):
        pass
    gone = False
    while not gone:
        ready = [descriptor for descriptor, _ in events.poll(None if end is not None else LOOK_MS)]
        gone = end in ready or os.getppid() != program
        if control in ready or gone:
            while True:  # all that was sent before the end
                os.set_blocking(control, False)
                try:
                    received = os.read(control, 65536)
                except BlockingIOError:
                    break
                except OSError:
                    received = b""
                if not received:
                    return
                yield received


def _reap_all(command: list[str], left: dict[str, list[str]], **budgets) -> None:  # type: ignore[no-untyped-def]
    """Reap all engines at the same time: one that is down is not to hold up the others."""
    threads = [
        threading.Thread(target=_reap, args=([*command, *json.loads(key)], names), kwargs=budgets)
        for key, names in left.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _reap(
    command: list[str],
    names: list[str],
    pauses_s: tuple[float, ...] = PAUSES_S,
    settled_s: float = SETTLED_S,
    limit_s: float = LIMIT_S,
) -> None:
    wanted = [argument for name in names for argument in ("--name", name)]
    for pause_s in pauses_s:
        time.sleep(pause_s)
        try:
            done = subprocess.run([*command, *wanted], stdin=subprocess.DEVNULL, timeout=limit_s, check=False)
        except (OSError, subprocess.TimeoutExpired):  # as a machine that is full gives, or an engine that hangs
            continue
        if done.returncode == 0 and pause_s >= settled_s:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
