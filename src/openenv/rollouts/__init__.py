"""Episodes as trainers and evaluations want them: faults are results, and many are played at once."""

from openenv.rollouts.episodes import Episode, Episodes, Turn
from openenv.rollouts.texts import action_of, text_of

__all__ = ["Episode", "Episodes", "Turn", "action_of", "text_of"]
