"""What goes to the Atari environment and what comes back."""

import numpy as np
from pydantic import Field

from openenv.models import Action, Observation, State


class AtariAction(Action):
    """What is done with the joystick for the frames of a step."""

    action_id: int = Field(
        ge=0, le=17, strict=True, description="The number of the action: its place in `action_names`."
    )


class AtariObservation(Observation):
    """What there is to see."""

    screen: np.ndarray = Field(
        description="Bytes, of dtype uint8: (210, 160, 3) or so for `rgb`, (210, 160) for `grayscale`, with a size "
        "(size, size); 128 for `ram`."
    )
    legal_actions: list[int] = Field(default_factory=list, description="The numbers of the actions.")
    action_names: list[str] = Field(
        default_factory=list, description="What they are, such as `NOOP` or `UPFIRE`; after a reset."
    )
    lives: int = Field(default=0, description="Lives left; 0 in a game that counts none.")
    episode_frame_number: int = Field(default=0, description="Frames of this episode, 60 a second.")
    frame_number: int = Field(default=0, description="Frames since the game was loaded.")


class AtariState(State):
    """Where an episode stands."""

    game: str = ""
    observation: str = Field(default="rgb", description="`rgb`, `grayscale` or `ram`.")
    mode: int | None = Field(default=None, description="The game's mode; None for its default.")
    difficulty: int | None = Field(default=None, description="Its difficulty; None for its default.")
