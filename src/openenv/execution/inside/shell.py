"""A shell that stays: bash in a terminal of its own, which takes commands by one descriptor and tells their status.

Commands do not go through the terminal, so their output is theirs alone, without a prompt, an echo or a mark, and
what is typed reaches the program that runs. The shell is an interactive one, whose prompt is the loop below: after
an interruption (Ctrl-C) bash leaves whatever it is in and comes back to the prompt, with all its variables.

In a sandbox there may be no terminals. Then its outputs are one pipe, its input is empty, and nothing can be typed.
"""

from __future__ import annotations

__all__ = ["COMMAND", "VARIABLES", "WITHOUT_TERMINAL"]

# The descriptors are moved to numbers that commands do not use by accident.
_PROMPT = r"""
if [ -z "$__openenv_up" ]; then
    exec 198<&3 199>&4 3<&- 4>&-
    [ -z "$__openenv_plain" ] || exec 2>&1  # until here bash complained that it has no terminal
    export -n PROMPT_COMMAND
    unset __openenv_plain
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
WITHOUT_TERMINAL = {**VARIABLES, "__openenv_plain": "1"}
