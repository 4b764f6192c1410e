"""Many sessions of an environment as one `gymnasium.vector.VectorEnv`, over one vector client.

What is ordinary is made arrays all at once; whatever is not, an end, a fault, a reset, is looked at one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, iterate

from openenv.client.base import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.results import Failure
from openenv.errors import InvalidReplyError
from openenv.integrations.gymnasium.fields import read
from openenv.integrations.gymnasium.resets import ResetArguments
from openenv.integrations.gymnasium.translation import Chosen, place, translated
from openenv.integrations.gymnasium.vector_client import NarrowVector, Told
from openenv.integrations.gymnasium.verdicts import BROKEN, Faults, Verdict, verdict
from openenv.integrations.gymnasium.waiting import once_back
from openenv.outcomes import Cause, Status
from openenv.protocol.messages import SchemaResponse
from openenv.rollouts import is_passing

if TYPE_CHECKING:
    from gymnasium import Space

    from openenv.providers import Provider

__all__ = ["RemoteVectorEnv"]

_MISFITS = (ValueError, TypeError, LookupError)

_EXPECTED, _UNEXPECTED = 1, 2
"""The next step of an environment is a reset: as the trainer knows by the autoreset mode, or as it does not."""


class RemoteVectorEnv(VectorEnv[Any, Any, Any]):
    """Sessions of an environment as a `gymnasium.vector.VectorEnv`.

    ```python
    envs = RemoteVectorEnv("http://localhost:8000", OpenSpielEnv, 64, observation="info_state",
                           action_space=Discrete(3), arguments={"game_name": "catch", "text": False})
    seen, infos = envs.reset(seed=0)
    seen, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    ```

    It connects when it is made. One that fails, fails alone: its episode is truncated, its reward is NaN, and it is
    started again as the autoreset mode says. `infos["reward_valid"]` is False for each transition that is to be
    left out of training: a fault, or a step in which an environment was only reset. `infos["outcome"]` and
    `infos["error"]` say what a fault was; `infos["action_mask"]` which actions are legal, all of them where none is
    known to be. `faults` counts them by cause.

    Args:
        where: Address of the server, or a provider that starts it.
        client_class: Of the client; by default one that knows no types.
        num_envs: How many sessions.
        autoreset_mode: What happens to an environment whose episode is over.
        observation: See `RemoteEnv`, as for all that follows.
        action: The field, or the function.
        observation_space: Of one environment.
        action_space: Of one environment.
        legal_actions: The observation's field that lists the legal actions, if it has it.
        arguments: Of every reset, the same for all or a mapping for each.
        fault_reward: See `RemoteEnv`.
        illegal_reward: The reward of an action that is refused, which ends the episode; None for a fault.
        wait_s: Seconds that a step or reset waits for a server that is away, as one that restarts; then it raises.
        connections: Over how many connections; see `VectorEnvClient`.
        **client_options: Those of the client class.

    Raises:
        ConfigurationError: The spaces cannot be told, or a number is out of its range.
        OpenEnvError: The server cannot be reached, or has no room for all.
    """

    def __init__(
        self,
        where: str | Provider,
        client_class: type[EnvClient[Any, Any, Any]] = GenericEnvClient,
        num_envs: int = 64,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        observation: str | Callable[[Any], Any] | None = None,
        action: str | Callable[[Any], Any] | None = None,
        observation_space: Space[Any] | None = None,
        action_space: Space[Any] | None = None,
        legal_actions: str | None = "legal_actions",
        arguments: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        fault_reward: float = math.nan,
        illegal_reward: float | None = None,
        wait_s: float = 30.0,
        connections: int | None = None,
        **client_options: Any,
    ) -> None:
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self._arguments = ResetArguments(arguments, num_envs)
        self._fault_reward = fault_reward
        self._illegal_reward = illegal_reward
        self._wait_s = wait_s
        self._wait: Callable[[], Any] | None = None
        self.faults = Faults()
        self.client = NarrowVector(
            client_class,
            num_envs=num_envs,
            connections=connections,
            autoreset=self.autoreset_mode.value,
            autoreset_arguments=self._arguments.next,
            **place(where),
            **client_options,
        ).sync()
        try:
            self.client.connect()
            chosen = Chosen(observation, action, observation_space, action_space, legal_actions)
            self._seeing, self._doing = translated(chosen, self._schemas(), self._first)
        except BaseException:
            self.client.close()
            raise
        self.client.codec.know(self._doing.action, self._doing.few)
        self._names = self._seeing.names
        if self._names is not None:
            legal = [self._doing.legal] if self._doing.legal else []
            self.client.codec.read_only([*self._names, *legal])
        self.single_observation_space, self.single_action_space = self._seeing.space, self._doing.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._batch = self._seeing.batch([self._seeing.nothing()] * num_envs)
        self._legal: list[Any] = [None] * num_envs
        self._graded = [False] * num_envs
        self._resets = [0] * num_envs

    # --- Gymnasium's methods ---------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in each environment, or in some of them.

        Resets without a seed that follow one with a seed, those of autoreset included, have seeds drawn from it.

        Args:
            seed: An integer gives each environment that plus its index; or one for each.
            options: Further arguments of the environment's `reset`. `reset_mask` is not among them: it is an array
                that says which environments are to be reset.

        Returns:
            What is seen of all, and infos. One that could not be reset shows zeros, or what it showed before, and
            its `reward_valid` is False; the next step resets it, unless autoreset is disabled.

        Raises:
            RequestError: None of them could be reset. If that was because the server is away, it did not come back
                in `wait_s`.
        """
        self._finish()
        results = self._begin(self._arguments.asked(seed, options or {}))
        seen = self._see(results)
        infos: dict[str, Any] = {"reward_valid": np.ones(self.num_envs, bool)}
        for index, result in results.items():
            self._graded[index] = False
            self._resets[index] = 0
            if result.outcome.status == Status.INFRA_FAULT or isinstance(result, Failure):
                infos["reward_valid"][index] = False
                self._resets[index] = 0 if self.autoreset_mode is AutoresetMode.DISABLED else _UNEXPECTED
                infos = self._fault(infos, index, result)
            elif result.info:
                infos = self._add_info(infos, dict(result.info), index)
        self._abandon(results)
        return seen, self._masked(infos)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take a step in each environment.

        Raises:
            RequestError: All of them are down: each failed again when it was to be reset. If that was because the
                server is away, it did not come back in `wait_s`.
        """
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Begin a step in each environment; `step_wait` gives what comes of it."""
        if self._wait is not None:
            raise gymnasium.error.AlreadyPendingCallError("A step is under way: call step_wait()", "step")
        counted = isinstance(self.single_action_space, gymnasium.spaces.Discrete)
        elements = np.asarray(actions).tolist() if counted else list(iterate(self.action_space, actions))
        self._wait = self.client._step_begun(elements)

    def step_wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Wait for the step that was begun; see `step`."""
        wait, self._wait = self._wait, None
        if wait is None:
            raise gymnasium.error.NoAsyncCallError("There is no step to wait for: call step_async()", "step")
        results = dict(enumerate(wait()))
        if all(self._resets):
            everyone = range(self.num_envs)
            results = self._once_back(results, lambda: {index: self._arguments.next(index) for index in everyone})
        before = self._batch
        seen = self._see(results)
        rewards = np.array([result.reward or 0.0 for result in results.values()], np.float64)
        terminations, truncations = np.zeros((2, self.num_envs), bool)
        valid = np.ones(self.num_envs, bool)
        infos: dict[str, Any] = {"reward_valid": valid}
        for index, result in results.items():
            if result.reward is None or result.done or result.info or self._resets[index] or _is_odd(result):
                told, valid[index] = self._judged(index, result)
                rewards[index], terminations[index], truncations[index] = told
                infos = self._informed(infos, index, result, before, math.isnan(told.reward))
            else:
                self._graded[index] = True
        rewards[np.isnan(rewards)] = self._fault_reward
        self._abandon(results)
        if _UNEXPECTED in self._resets and self.autoreset_mode is AutoresetMode.SAME_STEP:
            seen = self._revived()
        return seen, rewards, terminations, truncations, self._masked(infos)

    def action_masks(self) -> np.ndarray[Any, Any]:
        """Return which actions are legal now, a row for each environment."""
        return self._doing.masks(self._legal)

    def close_extras(self, **_kwargs: Any) -> None:
        """End the sessions, and the server if it was started for them."""
        self._finish()
        self.client.close()

    # --- what came of a step ---------------------------------------------------------------------

    def _judged(self, index: int, result: Any) -> tuple[Verdict, bool]:
        """Return what a result is to a trainer, and whether its transition is one to learn from."""
        reset, self._resets[index] = self._resets[index], 0
        told = verdict(result, self._graded[index], self._illegal_reward)
        if reset and told is not BROKEN:  # it was reset instead of stepped
            told = Verdict(0.0 if reset == _EXPECTED else math.nan, told.terminated, told.truncated)
            self._graded[index] = False
        else:
            self._graded[index] = not result.done and (self._graded[index] or result.reward is not None)
        if result.done and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._resets[index] = _EXPECTED
        elif result.done and self.autoreset_mode is AutoresetMode.SAME_STEP and "final_obs" not in result.info:
            self._resets[index] = _UNEXPECTED  # the client could not do it in the same step
        return told, not reset and not math.isnan(told.reward)

    def _informed(
        self, infos: dict[str, Any], index: int, result: Any, before: Any, broken: bool
    ) -> dict[str, Any]:
        """Add what is to be told beside the numbers."""
        if broken:
            infos = self._fault(infos, index, result)
        elif result.outcome.is_fault:
            infos = self._add_info(infos, {"outcome": result.outcome}, index)
        info = dict(result.info)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and result.done:
            last = self._one(info.get("final_obs", result.observation))
            info["final_obs"] = self._element(before, index) if last is None else last
            info.setdefault("final_info", {})
        return self._add_info(infos, info, index) if info else infos

    def _fault(self, infos: dict[str, Any], index: int, result: Any) -> dict[str, Any]:
        error = self.faults.add(result.outcome, str(getattr(result, "error", "")), index)
        return self._add_info(infos, {"outcome": result.outcome, "error": error}, index)

    def _revived(self) -> Any:
        """Reset what the client has not reset in the same step, and return the batch of what is seen now."""
        down = [index for index, reset in enumerate(self._resets) if reset]
        results = self._reset({index: self._arguments.next(index) for index in down})
        for index, result in results.items():
            self._graded[index] = False
            self._resets[index] = _UNEXPECTED if isinstance(result, Failure) else 0
        self._abandon(results)
        return self._see(results)

    def _abandon(self, results: dict[int, Any]) -> None:
        """Give up sessions that are still busy with what was not waited for."""
        if late := [index for index, result in results.items() if _is_late(result)]:
            self.client._call(lambda: self.client._abandon(late))

    def _see(self, results: dict[int, Any]) -> Any:
        """Return the batch of what is seen; a result that does not fit becomes a failure."""
        observations = [result.observation for result in results.values()]
        complete = len(observations) == self.num_envs and all(each is not None for each in observations)
        if (legal := self._doing.legal) is not None:
            self._legal = [read(each, legal) for each in observations] if complete else self._listed(results, legal)
        if complete:
            try:
                self._batch = self._seeing.many(observations)
            except _MISFITS:  # one by one tells which
                pass
            else:
                return self._batch
        elements = list(iterate(self.observation_space, self._batch))
        for index, result in results.items():
            element = self._one(result.observation)
            if element is not None:
                elements[index] = element
            elif result.observation is not None:
                error = InvalidReplyError("The observation does not fit into its space")
                results[index] = Failure(index, error, error.outcome)
                self.client._ended.add(index)
        self._batch = self._seeing.batch(elements)
        return self._batch

    def _one(self, observation: Any) -> Any:
        try:
            return None if observation is None else self._seeing.one(observation)
        except _MISFITS:
            return None

    def _element(self, batch: Any, index: int) -> Any:
        return list(iterate(self.observation_space, batch))[index]

    def _listed(self, results: dict[int, Any], name: str) -> list[Any]:
        legal = list(self._legal)
        for index, result in results.items():
            legal[index] = None if result.observation is None else read(result.observation, name)
        return legal

    def _masked(self, infos: dict[str, Any]) -> dict[str, Any]:
        if self._doing.legal is not None:
            infos["action_mask"] = self._doing.masks(self._legal)
            infos["_action_mask"] = np.ones(self.num_envs, bool)
        infos["_reward_valid"] = np.ones(self.num_envs, bool)
        return infos

    # --- resets ----------------------------------------------------------------------------------

    def _begin(self, arguments: dict[int, dict[str, Any]]) -> dict[int, Any]:
        """Reset environments; what failed in passing is tried once more."""
        results = self._reset(arguments)
        again = {index: arguments[index] for index, result in results.items() if _is_passing(result)}
        if again:
            results |= self._reset(again)
        return self._once_back(results, lambda: arguments)

    def _once_back(self, results: dict[int, Any], arguments: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        return once_back(results, lambda: self._reset(arguments()), self._wait_s)

    def _reset(self, arguments: dict[int, dict[str, Any]]) -> dict[int, Any]:
        results = self.client.reset(options=list(arguments.values()), indices=list(arguments))
        return dict(zip(arguments, results, strict=True))

    def _first(self) -> Any:
        return self._begin({0: self._arguments.next(0)})[0].observation

    def _schemas(self) -> SchemaResponse:
        client = self.client
        headers = client._single._options.headers
        return client._call(lambda: client._keeper.get("/schema", SchemaResponse, headers))

    def _finish(self) -> None:
        """Wait for a step that nobody has waited for."""
        wait, self._wait = self._wait, None
        if wait is not None:
            wait()


def _is_odd(result: Any) -> bool:
    return not isinstance(result, Told) and not result.outcome.reward_valid


def _is_passing(result: Any) -> bool:
    return isinstance(result, Failure) and is_passing(result.outcome)


def _is_late(result: Any) -> bool:
    return isinstance(result, Failure) and result.outcome.cause == Cause.BUDGET
