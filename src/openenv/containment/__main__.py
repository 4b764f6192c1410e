"""`python -m openenv.containment JSON -- COMMAND`: restrict this process, then become the command.

It is also run by path in a bare interpreter (`python -I -S .../containment/__main__.py`), which is up in a third of
the time; then the folder that holds `openenv` is put on the path first.
"""

from __future__ import annotations

import os
import signal
import sys


def main(arguments: list[str]) -> int:
    """Apply the restrictions and run the command; return only if that could not be done."""
    from openenv.containment.kernel import end_with_parent
    from openenv.containment.restrictions import EXIT_UNRESTRICTED, Restrictions

    if len(arguments) < 3 or arguments[1] != "--":
        print("usage: python -m openenv.containment JSON -- COMMAND", file=sys.stderr)
        return 2
    # Whoever starts this may have had it ignored, so that namespaces outlive the request to end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    command = arguments[2:]
    parent = os.getppid()
    try:
        Restrictions.from_json(arguments[0]).apply()
        end_with_parent(parent)  # a change of the user id takes it away
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"The restrictions could not be applied: {error}", file=sys.stderr)
        return EXIT_UNRESTRICTED
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        print(f"{command[0]} cannot be run: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    if not __package__:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    sys.exit(main(sys.argv[1:]))
