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
import time

# An engine may be down for the moment; these are the seconds before each attempt.
PAUSES_S = (0, 2, 10, 60, 300)
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
    for key, names in _left_when_gone(control, program).items():
        _reap([*command, *json.loads(key)], names)


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


def _reap(command: list[str], names: list[str]) -> None:
    for pause in PAUSES_S:
        time.sleep(pause)
        wanted = [argument for name in names for argument in ("--name", name)]
        if subprocess.run([*command, *wanted], stdin=subprocess.DEVNULL, check=False).returncode == 0:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
