"""Environments as those of Gymnasium: `RemoteEnv` is one, `RemoteVectorEnv` many that are stepped together.

Gymnasium has no word for a fault, and a trainer learns from whatever number it is given; `verdicts` says what
that is. `fields`, `spaces` and `wire` make elements of spaces of what an environment says, and the other way about,
which is what `gymnasium_env` uses the last two for.
"""

from openenv.integrations import needs

with needs("gymnasium", "gymnasium"):
    from openenv.integrations.gymnasium.single import EnvironmentFault, RemoteEnv
    from openenv.integrations.gymnasium.vector import RemoteVectorEnv

__all__ = ["EnvironmentFault", "RemoteEnv", "RemoteVectorEnv"]
