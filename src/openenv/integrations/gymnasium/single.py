"""One session of an environment as a `gymnasium.Env`.

What goes wrong is raised, since there is nothing else to go on with; unless it is told to end the episode with the
reward NaN, which nothing takes for a reward, as one of many sessions does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np

from openenv.client.base import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.lanes import request_error
from openenv.client.results import Failure
from openenv.errors import ConfigurationError, InvalidReplyError, OpenEnvError, RequestError
from openenv.integrations.gymnasium.translation import Chosen, place, translated
from openenv.integrations.gymnasium.verdicts import BROKEN, Faults, Verdict, verdict
from openenv.models import Outcome, StepResult
from openenv.outcomes import Cause, Status
from openenv.rollouts import is_passing, outcome_of

if TYPE_CHECKING:
    from gymnasium import Space

    from openenv.providers import Provider

__all__ = ["EnvironmentFault", "RemoteEnv"]

SEEDS = 2**31


class EnvironmentFault(RequestError):
    """The environment's answer says that something broke, so that there is nothing to learn from.

    Args:
        outcome: What it says.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"The environment says that something broke: {outcome.cause}", code="EXECUTION_ERROR")
        self._outcome = outcome

    @property
    def outcome(self) -> Outcome:
        """What the environment says."""
        return self._outcome


class RemoteEnv(gymnasium.Env[Any, Any]):
    """One session of an environment as a `gymnasium.Env`.

    ```python
    env = RemoteEnv("http://localhost:8000", OpenSpielEnv, observation="info_state", action_space=Discrete(3))
    seen, info = env.reset(seed=1)
    seen, reward, terminated, truncated, info = env.step(1)
    ```

    It connects when it is made. `info` has `outcome` (see `openenv.models.Outcome`), `reward_valid`, which is False
    where the transition is to be left out of training, `action_mask` where the environment tells which actions are
    legal, and what the result's own `info` has. `options` of `reset` are arguments of the environment's `reset`.
    `faults` counts what broke, by cause.

    Args:
        where: Address of the server, or a provider that starts it.
        client_class: Of the client; by default one that knows no types.
        observation: What is seen: the name of a field, or a function of the observation. By default all fields but
            `done`, `reward` and `metadata`, as a `Dict` if there are several.
        action: What is done: the name of a field, or a function that makes an action of an element of
            `action_space`. By default the one field that an action has to have, or a `Dict` of those.
        observation_space: By default that of the JSON Schema, or of the first observation.
        action_space: By default that of the JSON Schema.
        legal_actions: The observation's field that lists the legal actions, if it has it.
        arguments: Of every reset, such as `{"game_name": "catch"}`.
        faults: `raise` what broke; or `truncate` the episode, with the reward NaN.
        fault_reward: The reward of what is no transition to learn from. A number in place of NaN, which spoils any
            mean that it is taken into, is only for whoever leaves out what `reward_valid` says.
        illegal_reward: An action that is refused ends the episode with this reward. By default it is a fault: ask
            `action_mask` before.
        **client_options: Those of the client class.

    Raises:
        ConfigurationError: The spaces cannot be told.
        OpenEnvError: The server cannot be reached, or a first observation was needed and could not be had.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
        where: str | Provider,
        client_class: type[EnvClient[Any, Any, Any]] = GenericEnvClient,
        *,
        observation: str | Callable[[Any], Any] | None = None,
        action: str | Callable[[Any], Any] | None = None,
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        legal_actions: str | None = "legal_actions",
        arguments: Mapping[str, Any] | None = None,
        faults: Literal["raise", "truncate"] = "raise",
        fault_reward: float = math.nan,
        illegal_reward: float | None = None,
        **client_options: Any,
    ) -> None:
        if faults not in ("raise", "truncate"):
            raise ConfigurationError(f"faults is raise or truncate, not {faults!r}")
        self._arguments = dict(arguments or {})
        self._raises = faults == "raise"
        self._fault_reward = fault_reward
        self._illegal_reward = illegal_reward
        self._seeded = self._graded = False
        self.faults = Faults()
        self.client = client_class(**place(where), **client_options).sync()
        try:
            chosen = Chosen(observation, action, observation_space, action_space, legal_actions)
            self._seeing, self._doing = translated(chosen, self.client.schema(), self._first)
        except BaseException:
            self.client.close()
            raise
        self.observation_space, self.action_space = self._seeing.space, self._doing.space
        self._seen: Any = self._seeing.nothing()
        self._mask: np.ndarray[Any, Any] | None = None
        self._down: OpenEnvError | OSError | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        After a reset with a seed, those without one have seeds drawn from it, so that all that follows is
        determined.

        Args:
            seed: Of the episode.
            options: Further arguments of the environment's `reset`.

        Raises:
            OpenEnvError: It failed, and faults are raised; or an `OSError`. Else zeros are seen, and the first step
                is truncated.
        """
        super().reset(seed=seed)
        arguments = {**self._arguments, **(options or {})}
        if seed is not None or self._seeded:
            self._seeded = True
            arguments["seed"] = int(self.np_random.integers(SEEDS)) if seed is None else seed
        self._graded, self._down = False, None
        try:
            result = self._reset(arguments)
            self._seen = self._look(result)
        except (OpenEnvError, OSError) as error:
            self._give_up(error)
            self.faults.add(outcome_of(error), str(error))
            if self._raises:
                raise
            self._down, self._seen = error, self._seeing.nothing()
            return self._seen, self._told(error, valid=False)
        return self._seen, self._info(result, valid=True)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step.

        Raises:
            OpenEnvError: It failed, and faults are raised; or an `OSError`.
        """
        try:
            if self._down is not None:
                raise self._down
            result = self.client.step(self._doing.action(action))
            if result.outcome.status == Status.INFRA_FAULT:
                raise EnvironmentFault(result.outcome)
            self._seen = self._look(result)
        except (OpenEnvError, OSError) as error:
            self._give_up(error)
            failed = Failure(0, request_error(error), outcome_of(error))
            told = BROKEN if error is self._down else verdict(failed, False, self._illegal_reward)
            if told is BROKEN and error is not self._down:
                self.faults.add(failed.outcome, str(error))
            if told is BROKEN and self._raises:
                raise
            return self._seen, *self._rewarded(told), self._told(error, valid=told is not BROKEN)
        told = verdict(result, self._graded, self._illegal_reward)
        self._graded |= result.reward is not None
        if math.isnan(told.reward):
            self.faults.add(result.outcome)
        return self._seen, *self._rewarded(told), self._info(result, valid=not math.isnan(told.reward))

    def close(self) -> None:
        """End the session, and the server if it was started for it."""
        self.client.close()

    def action_masks(self) -> np.ndarray[Any, Any]:
        """Return which actions are legal now, as `MaskablePPO` of sb3-contrib asks for it."""
        return np.ones(len(self._doing.few), bool) if self._mask is None else self._mask

    def _first(self) -> Any:
        return self._reset(self._arguments).observation

    def _reset(self, arguments: Mapping[str, Any]) -> StepResult[Any]:
        """Reset; what failed in passing is tried once more."""
        try:
            result = self.client.reset(**arguments)
        except (OpenEnvError, OSError) as error:
            if not is_passing(outcome_of(error)):
                raise
            result = self.client.reset(**arguments)
        if result.outcome.status == Status.INFRA_FAULT:
            raise EnvironmentFault(result.outcome)
        return result

    def _rewarded(self, told: Verdict) -> Verdict:
        return told._replace(reward=self._fault_reward) if math.isnan(told.reward) else told

    def _look(self, result: StepResult[Any]) -> Any:
        try:
            self._mask = self._doing.masked(result.observation)
            return self._seeing.one(result.observation)
        except (ValueError, TypeError, LookupError) as error:
            raise InvalidReplyError(f"The observation does not fit into its space: {error}") from error

    def _info(self, result: StepResult[Any], *, valid: bool) -> dict[str, Any]:
        info = {"outcome": result.outcome, "reward_valid": valid, **result.info}
        if self._mask is not None:
            info["action_mask"] = self._mask
        return info

    def _give_up(self, error: OpenEnvError | OSError) -> None:
        if outcome_of(error).cause == Cause.BUDGET:  # the session is still busy with what was not waited for
            client = self.client._client
            client._call(client._abandon)

    def _told(self, error: OpenEnvError | OSError, *, valid: bool) -> dict[str, Any]:
        self._mask = None
        return {"outcome": outcome_of(error), "reward_valid": valid, "error": str(error)}
