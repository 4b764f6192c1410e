"""Run inside the workspace when smolagents is to interpret the agent's code; the server only reads this file.

smolagents refuses imports, files and attributes that it does not know. That is a guard for honest code and no
boundary: what holds the code is what holds this process.
"""

import ast
import sys

from smolagents import LocalPythonExecutor

_executor = LocalPythonExecutor([], max_print_outputs_length=10**9, timeout_seconds=None)
_executor.send_tools({})


def _guarded(code):  # type: ignore[no-untyped-def]
    """Interpret a piece of code, and return the value of its last line if that is an expression."""
    body = ast.parse(code).body  # its own errors of syntax are told in other words
    try:
        output = _executor(code).output if body else None
    except Exception as error:
        print(error, file=sys.stderr)
        while error.__context__ is not None:  # what the code has raised; what is around it only says where
            error = error.__context__
        raise error from None
    finally:
        sys.stdout.write(str(_executor.state.pop("_print_outputs", "")))
    return output if body and isinstance(body[-1], ast.Expr) else None
