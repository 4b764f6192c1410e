"""A shell that stays: bash in a terminal of its own, which takes commands by one descriptor and tells their status.

Commands do not go through the terminal, so their output is theirs alone, without a prompt, an echo or a mark that a
command could forge, and what is typed reaches the program that runs.
"""

from __future__ import annotations

__all__ = ["COMMAND", "DRIVER"]

# Jobs have process groups of their own (`set -m`), and the shell has something to
# do about an interruption (`trap`), so what interrupts a command does not end the shell.
# The descriptors are opened on other numbers than they come by, so that no command has them by accident.
DRIVER = r"""
exec 198<&3 199>&4 3<&- 4>&-
set -m
trap : INT
while :; do
    # An interruption ends the reading, too; only the end of the line is the end.
    IFS= read -r -d '' -u 198 __openenv_command || { [ $? -gt 128 ] && continue; break; }
    __openenv_status=${__openenv_status:-0}
    (exit "$__openenv_status")
    eval "$__openenv_command" 198<&- 199>&-
    __openenv_status=$?
    printf '%s\0' "$__openenv_status" >&199
done
"""

COMMAND = ("bash", "--noprofile", "--norc", "-c", DRIVER)
