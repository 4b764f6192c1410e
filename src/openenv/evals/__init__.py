"""Evaluation: a model or a policy plays episodes of an environment; what came of them is told with its error."""

from openenv.evals.conversation import Conversation
from openenv.evals.policies import NamedPolicy, RandomPolicy
from openenv.evals.results import EpisodeResult, Report
from openenv.evals.runs import Player, Task, evaluate, plan
from openenv.evals.statistics import pass_at_k

__all__ = [
    "Conversation",
    "EpisodeResult",
    "NamedPolicy",
    "Player",
    "RandomPolicy",
    "Report",
    "Task",
    "evaluate",
    "pass_at_k",
    "plan",
]
