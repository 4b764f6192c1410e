"""The application that serves the coding environment.

`CODING_ENV_INTERPRETER` chooses the interpreter, `CODING_ENV_TASKS` names a folder of tasks, and
`CODING_ENV_SYNTAX_PENALTY` and `CODING_ENV_TIMEOUT_PENALTY` are what is taken off a reward.
"""

import os

from openenv.environment import CompositeTransform
from openenv.server import create_app

from ..models import CodeAction, CodeObservation, CodeState
from .coding_environment import CodingEnvironment
from .penalties import SyntaxPenalty, TimeoutPenalty
from .tasks import SHIPPED


def make() -> CodingEnvironment:
    """Make an environment as the environment variables say."""
    penalties = {"CODING_ENV_SYNTAX_PENALTY": SyntaxPenalty, "CODING_ENV_TIMEOUT_PENALTY": TimeoutPenalty}
    return CodingEnvironment(
        os.environ.get("CODING_ENV_INTERPRETER", "python"),
        os.environ.get("CODING_ENV_TASKS", SHIPPED),
        CompositeTransform(
            [kind(float(os.environ[name])) for name, kind in penalties.items() if name in os.environ]
        ),
    )


app = create_app(make, CodeAction, CodeObservation, env_name="coding_env", state_cls=CodeState)
