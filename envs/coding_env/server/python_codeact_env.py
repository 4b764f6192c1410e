"""The environment by the name that configurations of NeMo Gym have for it, with the blocking verbs it calls."""

from openenv.integrations.in_process import blocking

from .coding_environment import CodingEnvironment

PythonCodeActEnv = blocking(CodingEnvironment)
