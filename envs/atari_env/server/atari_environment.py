"""The Atari environment: a game of the Arcade Learning Environment (ALE), one emulator a session.

The defaults are those that Machado et al. recommend (2018): an action is held for four frames, and with a chance of
one in four the last one is held on instead.
"""

import base64
from typing import Any, Literal, get_args
from uuid import uuid4

import numpy as np
from ale_py import ALEInterface, LoggerMode, roms

from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError, OpenEnvError
from openenv.models import StepResult
from openenv.values.pictures import png

from ..models import AtariAction, AtariObservation, AtariState
from .resizing import resized

Kind = Literal["rgb", "grayscale", "ram"]
LARGEST = 512
MAX_FRAMES = 108_000  # half an hour

GAMES = frozenset(name for name in roms.get_all_rom_ids() if ALEInterface.isSupportedROM(roms.get_rom_path(name)))
"""Those that the emulator plays. Four of the 108 files that it comes with are games for two, and to have it load
one would end the whole process."""


class AtariEnvironment(Environment[AtariAction, AtariObservation, AtariState]):
    """One of the 104 games of the Arcade Learning Environment, as pixels or as memory. The reward is the score.

    Args:
        game: The name of the game, such as `pong` or `space_invaders`.
        observation: `rgb`, `grayscale` or `ram`.
        size: Height and width that a screen is resized to, such as 84; None to leave it as it is.
        frame_skip: Frames that an action is held for.
        sticky: The chance, at each frame, that the action before is held on instead.
        full_action_set: All 18 actions, not only those that do something in the game.
        max_pool: Show the larger of the last two frames at each pixel, for games that draw in every other one.
        noops: Do nothing for some frames after a reset, up to so many; how many is drawn by the seed.
        max_frames: Frames after which an episode is cut off.
        mode: The game's mode; None for its default.
        difficulty: Its difficulty; None for its default.

    Raises:
        ConfigurationError: There is no such game, or a setting is out of its range.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    # A step takes 0.3 ms, and several times as long where threads take turns; a game takes 0.25 s to be loaded.
    NON_BLOCKING = ("step", "state")

    def __init__(
        self,
        game: str = "pong",
        *,
        observation: Kind = "rgb",
        size: int | None = None,
        frame_skip: int = 4,
        sticky: float = 0.25,
        full_action_set: bool = False,
        max_pool: bool = False,
        noops: int = 0,
        max_frames: int = MAX_FRAMES,
        mode: int | None = None,
        difficulty: int | None = None,
    ) -> None:
        super().__init__()
        _look(ConfigurationError, game, observation)
        if not (0.0 <= sticky <= 1.0 and frame_skip >= 1 and noops >= 0 and max_frames >= 1):
            raise ConfigurationError("sticky is from 0 to 1, noops 0 or more, frame_skip and max_frames 1 or more")
        if size is not None and not 1 <= size <= LARGEST:
            raise ConfigurationError(f"size is {size}; it can be from 1 to {LARGEST}")
        self._settings = {"game": game, "observation": observation, "mode": mode, "difficulty": difficulty}
        self._size, self._frame_skip, self._max_pool, self._noops = size, frame_skip, max_pool, noops
        self._sticky, self._max_frames, self._full = sticky, max_frames, full_action_set
        self._ale: ALEInterface | None = None
        self._loaded: tuple[Any, ...] = ()
        self._actions: list[Any] = []
        self._random = np.random.default_rng()
        self._state = AtariState(**self._settings)

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        game: str | None = None,
        observation: Kind | None = None,
        mode: int | None = None,
        difficulty: int | None = None,
    ) -> AtariObservation:
        """Start a game. What is given here counts for this episode.

        Args:
            seed: Of everything that is drawn, 0 or more; without one it goes on from where it is.
            episode_id: The id that the episode shall have.
            game: Another game.
            observation: Another kind of observation.
            mode: The game's mode.
            difficulty: Its difficulty.

        Raises:
            InvalidRequestError: There is no such game, kind, mode, difficulty or seed.
        """
        given = {"game": game, "observation": observation, "mode": mode, "difficulty": difficulty}
        other = game not in (None, self._settings["game"])  # whose modes are others
        own = self._settings | ({"mode": None, "difficulty": None} if other else {})
        wanted: dict[str, Any] = own | {name: value for name, value in given.items() if value is not None}
        _look(InvalidRequestError, wanted["game"], wanted["observation"])
        if seed is not None and seed < 0:
            raise InvalidRequestError(f"The seed is {seed}; it has to be 0 or more")
        ale = self._started(wanted["game"], wanted["mode"], wanted["difficulty"], seed)
        self._state = AtariState(episode_id=episode_id or uuid4().hex, step_count=0, **wanted)
        ale.reset_game()
        for _ in range(self._random.integers(self._noops + 1) if self._noops else 0):
            ale.act(0)
            if ale.game_over():
                ale.reset_game()
        seen = self._seen(ale, self._screen(ale))
        seen.action_names = [action.name for action in self._actions]
        return seen

    def step(self, action: AtariAction) -> StepResult[AtariObservation]:
        """Hold an action for the frames of a step; the reward is what it adds to the score.

        Raises:
            InvalidRequestError: The game has fewer actions. Nothing has changed.
        """
        ale = self._ale
        if ale is None:
            raise NotResetError("No game has been loaded yet: call reset() before step()")
        if action.action_id >= len(self._actions):
            raise InvalidRequestError(
                f"{action.action_id} is no action of {self._state.game}, which has {len(self._actions)} of them, "
                "0 being the first"
            )
        held, score, before = self._actions[action.action_id], 0, None
        for left in reversed(range(self._frame_skip)):
            score += ale.act(held)
            if ale.game_over():
                break
            if left == 1 and self._max_pool:
                before = self._screen(ale)
        screen = self._screen(ale)
        if before is not None and self._state.observation != "ram":
            screen = np.maximum(screen, before)
        self._state.step_count += 1
        lost = ale.game_over(with_truncation=False)
        return StepResult(
            self._seen(ale, screen),
            reward=float(score),
            terminated=lost,
            truncated=ale.game_truncated() and not lost,
        )

    @property
    def state(self) -> AtariState:
        """The episode's id, its game and its steps."""
        return self._state

    def close(self) -> None:
        """End the emulator."""
        self._ale = None

    def render(self) -> bytes | None:
        """Return the screen in colour as a PNG file; None before the first reset."""
        return None if self._ale is None else png(self._ale.getScreenRGB())

    def render_web(self, observation: AtariObservation) -> str:
        """Return the screen as HTML."""
        drawn = base64.b64encode(self.render() or b"").decode()
        source = f"data:image/png;base64,{drawn}"
        return f'<img alt="{self._state.game}" style="image-rendering: pixelated" src="{source}">'

    # --- the emulator ----------------------------------------------------------------------------------

    def _started(self, game: str, mode: int | None, difficulty: int | None, seed: int | None) -> ALEInterface:
        """Return the emulator with the game in it; it takes a seed only with a game."""
        if self._ale is not None and seed is None and self._loaded == (game, mode, difficulty):
            return self._ale
        if self._ale is None:
            ALEInterface.setLoggerMode(LoggerMode.Error)
            self._ale = ALEInterface()
        ale, entropy = self._ale, np.random.SeedSequence(seed)
        self._random = np.random.default_rng(entropy)
        self._loaded = ()
        ale.setInt("random_seed", int(entropy.generate_state(1)[0] >> 1) or 1)  # 0 is the time of day
        ale.setFloat("repeat_action_probability", self._sticky)
        ale.setInt("max_num_frames_per_episode", self._max_frames)
        ale.loadROM(roms.get_rom_path(game))
        for what, value, known, put in (
            ("mode", mode, ale.getAvailableModes(), ale.setMode),
            ("difficulty", difficulty, ale.getAvailableDifficulties(), ale.setDifficulty),
        ):
            if value is not None and value not in known:
                raise InvalidRequestError(f"{game} has no {what} {value}; there are {', '.join(map(str, known))}")
            if value is not None:
                put(value)
        self._actions = list(ale.getLegalActionSet() if self._full else ale.getMinimalActionSet())
        self._loaded = (game, mode, difficulty)
        return ale

    def _screen(self, ale: ALEInterface) -> np.ndarray:
        if self._state.observation == "ram":
            return ale.getRAM()
        return ale.getScreenGrayscale() if self._state.observation == "grayscale" else ale.getScreenRGB()

    def _seen(self, ale: ALEInterface, screen: np.ndarray) -> AtariObservation:
        if self._size is not None and self._state.observation != "ram":
            screen = resized(screen, self._size)
        return AtariObservation(
            screen=screen,
            legal_actions=list(range(len(self._actions))),
            lives=ale.lives(),
            episode_frame_number=ale.getEpisodeFrameNumber(),
            frame_number=ale.getFrameNumber(),
        )


def _look(error: type[OpenEnvError], game: Any, observation: Any) -> None:
    """Raise the error if there is no such game or kind of observation."""
    if not isinstance(game, str) or game not in GAMES:
        raise error(f"There is no game {game!r:.100}. There are: {', '.join(sorted(GAMES))}")
    if observation not in get_args(Kind):
        raise error(f"An observation can be {', '.join(get_args(Kind))}, and not {observation!r:.100}")
