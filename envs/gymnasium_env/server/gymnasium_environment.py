"""The Gymnasium environment: an environment of Gymnasium, whose spaces and elements are put on the wire.

It adds nothing to the game but a look at the actions: one that is not in the action space is refused before the
environment sees it.
"""

import base64
import html
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.integrations.gymnasium.spaces import schema_of
from openenv.integrations.gymnasium.wire import plain, sent, taken
from openenv.models import StepResult
from openenv.values.pictures import png

from ..models import GymnasiumAction, GymnasiumObservation, GymnasiumState

Maker = str | Callable[[], gymnasium.Env[Any, Any]]
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class GymnasiumEnvironment(Environment[GymnasiumAction, GymnasiumObservation, GymnasiumState]):
    """Any environment of Gymnasium: a registered id, a class, or a function that makes one.

    Args:
        env: The id, the class or the function.
        kwargs: Arguments for the environment's constructor.
        modules: Modules to be imported first, which register environments.
        max_episode_steps: Steps after which an episode is cut off; None for what is registered with the id.
        render_mode: `rgb_array` for pictures, `ansi` for text, as the environment has them; None for neither.
        show: Put the picture or the text into every observation.

    Raises:
        ConfigurationError: There is no such id or module.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True
    REQUIRES_SINGLE_THREAD_EXECUTOR = True  # for those that draw with OpenGL

    def __init__(
        self,
        env: Maker = "CartPole-v1",
        *,
        kwargs: Mapping[str, Any] | None = None,
        modules: Sequence[str] = (),
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        show: bool = False,
    ) -> None:
        super().__init__()
        _import(modules)
        if not callable(env) and env not in gymnasium.registry:
            raise ConfigurationError(
                f"Gymnasium has no environment {env!r}; if a module registers it, name that in `modules`. Give a "
                "class or a function, not an instance: each session needs its own"
            )
        self._maker = env
        self._kwargs = dict(kwargs or {}) | ({"render_mode": render_mode} if render_mode else {})
        self._max_episode_steps = max_episode_steps
        self._show = show
        self._env: gymnasium.Env[Any, Any] | None = None
        self._made_of: Maker | None = None
        self._schemas: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        self._state = GymnasiumState()

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        env_id: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> GymnasiumObservation:
        """Start an episode.

        Args:
            seed: Of the environment's generator, 0 or more; without one it goes on from where it is.
            episode_id: The id that the episode shall have.
            env_id: Another registered environment, for this episode.
            options: What the environment's own `reset` takes as `options`.

        Raises:
            InvalidRequestError: There is no such environment, or it cannot be made here.
        """
        if seed is not None and seed < 0:
            raise InvalidRequestError(f"The seed is {seed}; it has to be 0 or more")
        env = self._made(env_id)
        seen, info = env.reset(seed=seed, options=options)
        name = self._made_of if isinstance(self._made_of, str) else getattr(self._made_of, "__name__", "")
        self._state = GymnasiumState(episode_id=episode_id or uuid4().hex, step_count=0, env_id=name)
        observation = self._seen(env, seen, info)
        observation.action_space, observation.observation_space = self._schemas
        return observation

    def step(self, action: GymnasiumAction) -> StepResult[GymnasiumObservation]:
        """Take an action.

        Raises:
            InvalidRequestError: It is not in the action space. Nothing has changed.
        """
        env = self._env
        if env is None:
            raise NotResetError("There is no environment yet: call reset() before step()")
        try:
            chosen = taken(env.action_space, action.action)
        except ValueError as error:
            raise InvalidRequestError(f"No action of {env.action_space!r:.200}: {error}") from None
        seen, reward, terminated, truncated, info = env.step(chosen)
        self._state.step_count += 1
        return StepResult(
            self._seen(env, seen, info),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated) and not terminated,
        )

    @property
    def state(self) -> GymnasiumState:
        """The episode's id, its environment and its steps."""
        return self._state

    def close(self) -> None:
        """Close the environment."""
        env, self._env = self._env, None
        if env is not None:
            env.close()

    # --- what it looks like ------------------------------------------------------------------------------

    def render(self) -> bytes | str | None:
        """Return a PNG file or a text, as the render mode says; None without one, or before the first reset."""
        drawn = self._env.render() if self._env is not None and self._env.render_mode else None
        if isinstance(drawn, list):
            drawn = drawn[-1] if drawn else None
        if drawn is None or isinstance(drawn, str):
            return drawn
        return png(np.ascontiguousarray(drawn, np.uint8)) if isinstance(drawn, np.ndarray) else str(drawn)

    def render_web(self, observation: GymnasiumObservation) -> str:
        """Return a page of HTML with the picture or the text."""
        drawn = self.render()
        if isinstance(drawn, bytes):
            return f'<img alt="The environment" src="data:image/png;base64,{base64.b64encode(drawn).decode()}">'
        text = COLOURS.sub("", drawn) if drawn else repr(observation.observation)
        return f"<pre>{html.escape(text)}</pre>"

    # --- the environment within ----------------------------------------------------------------------------

    def _made(self, env_id: str | None) -> gymnasium.Env[Any, Any]:
        """Return the environment that is asked for: the one there is, or a new one in its place."""
        maker = self._maker if env_id is None else env_id
        if self._env is not None and maker == self._made_of:
            return self._env
        if env_id is not None and env_id not in gymnasium.registry:
            raise InvalidRequestError(f"There is no environment {env_id!r}")
        try:
            env = self._make(maker)
            schemas = schema_of(env.action_space), schema_of(env.observation_space)
        except (gymnasium.error.Error, ConfigurationError, ImportError) as error:
            if env_id is None:
                raise
            raise InvalidRequestError(f"{env_id} cannot be played here: {error}") from error
        self.close()
        self._env, self._made_of, self._schemas = env, maker, schemas
        return env

    def _make(self, maker: Maker) -> gymnasium.Env[Any, Any]:
        steps = self._max_episode_steps
        if isinstance(maker, str):
            kwargs = self._kwargs if maker == self._maker else {}
            mode = {name: value for name, value in self._kwargs.items() if name == "render_mode"}
            # The checker complains of other people's environments, in the agent's time.
            options = {"disable_env_checker": True, "max_episode_steps": steps}
            return gymnasium.make(maker, **options, **(kwargs or mode))
        env = maker(**self._kwargs)
        return env if steps is None else TimeLimit(env, steps)

    def _seen(self, env: gymnasium.Env[Any, Any], seen: Any, info: dict[str, Any]) -> GymnasiumObservation:
        drawn = self.render() if self._show else None
        return GymnasiumObservation(
            observation=sent(env.observation_space, seen),
            legal_actions=_legal(env.action_space, info.get("action_mask")),
            env_info=plain(info),
            picture=drawn if isinstance(drawn, bytes) else None,
            text=drawn if isinstance(drawn, str) else "",
        )


def _legal(space: Any, mask: Any) -> list[int] | None:
    if not isinstance(space, spaces.Discrete) or mask is None or np.shape(mask) != (space.n,):
        return None
    return [int(space.start) + int(number) for number in np.flatnonzero(mask)]


def _import(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(f"The module {name!r} cannot be imported: {error}") from error
        if name == "ale_py":  # which registers nothing when it is imported
            gymnasium.register_envs(module)
