"""What goes to the Gymnasium environment and what comes back."""

from typing import Any

from pydantic import Field

from openenv.models import Action, Observation, State


class GymnasiumAction(Action):
    """One action."""

    action: Any = Field(
        description="An element of the action space: a number, a text, lists and objects of them, or arrays. "
        "`action_space` of the observation after a reset is its JSON Schema."
    )


class GymnasiumObservation(Observation):
    """What the environment returned."""

    observation: Any = Field(
        default=None,
        description="An element of the observation space: arrays, whole numbers, texts; tuples as lists.",
    )
    legal_actions: list[int] | None = Field(
        default=None,
        description="The actions that `info['action_mask']` allows, where the environment has one and its actions "
        "are numbers.",
    )
    env_info: dict[str, Any] = Field(
        default_factory=dict,
        description="The environment's `info`. What has no form on the wire is its `repr`, a number that is not "
        "finite its name.",
    )
    action_space: dict[str, Any] | None = Field(
        default=None, description="The JSON Schema of actions; after a reset."
    )
    observation_space: dict[str, Any] | None = Field(
        default=None, description="The JSON Schema of observations; after a reset."
    )
    picture: bytes | None = Field(default=None, description="What it looks like, a PNG file; if asked for.")
    text: str = Field(default="", description="What it looks like in characters; if asked for.")


class GymnasiumState(State):
    """Where an episode stands."""

    env_id: str = Field(default="", description="The id, or the class, of the environment that is played.")
