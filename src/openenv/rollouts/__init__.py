"""Episodes as trainers and evaluations want them: faults are results, and many are played at once."""

from openenv.rollouts.episode import Episode, Turn
from openenv.rollouts.episodes import Episodes
from openenv.rollouts.faults import as_fault, is_passing, message_of, outcome_of
from openenv.rollouts.texts import action_of, fields_of, only_field, takes_tool_calls, text_of

__all__ = [
    "Episode",
    "Episodes",
    "Turn",
    "action_of",
    "as_fault",
    "fields_of",
    "is_passing",
    "message_of",
    "only_field",
    "outcome_of",
    "takes_tool_calls",
    "text_of",
]
