"""A shell that stays: bash in a terminal of its own, which takes commands by one descriptor and tells their status.

Commands do not go through the terminal, so their output is theirs alone, without a prompt, an echo or a mark, and
what is typed reaches the program that runs. The shell is an interactive one, whose prompt is the loop below: after
an interruption (Ctrl-C) bash leaves whatever it is in and comes back to the prompt, with all its variables.
"""

from __future__ import annotations

__all__ = ["COMMAND", "VARIABLES"]

# The descriptors are moved to numbers that commands do not use by accident.
_PROMPT = r"""
if [ -z "$__openenv_up" ]; then
    exec 198<&3 199>&4 3<&- 4>&-
    export -n PROMPT_COMMAND
    __openenv_up=1 PS1= PS2=
fi
if [ -n "$__openenv_busy" ]; then  # an interruption has led back here
    __openenv_busy= __openenv_status=130
    printf '130\0' >&199
fi
while IFS= read -r -d '' -u 198 __openenv_command; do
    __openenv_busy=1
    (exit "${__openenv_status:-0}")
    eval "$__openenv_command"
    __openenv_status=$? __openenv_busy=
    printf '%s\0' "$__openenv_status" >&199
done
exit 0
"""

COMMAND = ("bash", "--noprofile", "--norc", "--noediting", "-i")
VARIABLES = {"PROMPT_COMMAND": _PROMPT, "TERM": "dumb", "HISTFILE": ""}
