"""All sessions of one vector client, and the episodes that run in them.

A session that is lost stays lost until it is reset: then, and only then, another is opened in its place. So no
step ever runs on an environment that was not reset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from openenv.client.gathering import Gathering
from openenv.client.lanes import Lane, Verb, open_lanes, request_error
from openenv.client.link import LinkOptions
from openenv.errors import RequestError
from openenv.models import StepResult
from openenv.protocol.batches import BatchCodec, Result
from openenv.protocol.formats import Format


class AutoresetMode(Enum):
    """What happens to an environment whose episode is over; names and values are those of Gymnasium."""

    NEXT_STEP = "NextStep"
    """The next step resets it instead: its action is not used, its result is that of the reset."""
    SAME_STEP = "SameStep"
    """The step that ends the episode resets it as well: its result has the reward and the end of the old episode
    and the observation of the new one. The old one's last observation is in `info["final_obs"]`, its `info` in
    `info["final_info"]`."""
    DISABLED = "Disabled"
    """Nothing: a step is refused until it is reset."""


class Fleet:
    """Sessions on one server, over few connections.

    Args:
        url: Address of the WebSocket.
        options: Budgets and limits.
        codec: Reads and writes batches.
        form: The encoding to ask for.
        sizes: How many sessions each connection has.
    """

    def __init__(
        self, url: str, options: LinkOptions, codec: BatchCodec, form: Format, sizes: Sequence[int]
    ) -> None:
        self._url = url
        self._options = options
        self._codec = codec
        self._form = form
        self._sizes = sizes
        self._lanes: list[Lane] = []
        self._lane_of: list[Lane] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = False

    @property
    def connected(self) -> bool:
        """Whether it is open. Sessions may be lost all the same; each is opened anew when it is reset."""
        return self._open

    @property
    def late_replies(self) -> int:
        """Answers that came after their caller had given up."""
        return sum(lane.late_replies for lane in self._lanes)

    async def connect(self) -> None:
        """Open the connections and the sessions; raises what `open_lanes` raises."""
        self._lanes = await open_lanes(self._url, self._options, self._codec, self._form, self._sizes)
        if len(self._lanes) == 1:
            self._lane_of = self._lanes * sum(self._sizes)
        else:
            self._lane_of = [lane for lane, size in zip(self._lanes, self._sizes, strict=True) for _ in range(size)]
        self._open = True

    async def close(self) -> None:
        """End all sessions and connections. What is under way fails."""
        self._open = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(lane.close() for lane in self._lanes), return_exceptions=True)

    def step(self, actions: Mapping[int, Any], gathering: Gathering) -> None:
        """Send a step to each index; the answers go to the gathering."""
        gathering.missing += len(actions)
        self._send("step", actions, gathering)

    def reset(self, arguments: Mapping[int, Mapping[str, Any]], gathering: Gathering) -> None:
        """Send a reset to each index, on a new session where the old one is lost."""
        gathering.missing += len(arguments)
        lost = {index: given for index, given in arguments.items() if self._lane_of[index].is_lost(index)}
        for index, given in lost.items():
            self._spawn(self._reopen(index, given, gathering))
        self._send("reset", {i: given for i, given in arguments.items() if i not in lost}, gathering)

    def abandon(self, indices: Iterable[int]) -> None:
        """End sessions without waiting for it, such as those that do not answer; a reset opens others."""
        for index in indices:
            self._lane_of[index].abandon(index)

    async def state(self, index: int) -> bytes | dict[str, Any]:
        """Return the answer to a state request."""
        return await self._lane_of[index].state(index)

    def _send(self, verb: Verb, asked: Mapping[int, Any], gathering: Gathering) -> None:
        if len(self._lanes) == 1:
            self._lanes[0].start(verb, asked, gathering)
            return
        shares: dict[int, dict[int, Any]] = {}
        for index, payload in asked.items():
            shares.setdefault(id(self._lane_of[index]), {})[index] = payload
        for lane in self._lanes:
            if share := shares.get(id(lane)):
                lane.start(verb, share, gathering)

    async def _reopen(self, index: int, given: Mapping[str, Any], gathering: Gathering) -> None:
        lane = self._lane_of[index]
        try:
            await lane.reopen(index)
        except BaseException as error:
            gathering.put(index, request_error(error))
            if isinstance(error, Exception):
                return
            raise
        lane.start("reset", {index: given}, gathering)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Stepper:
    """Steps under way, with the resets that autoreset adds to them.

    Args:
        fleet: Where to step.
        mode: When to reset what has ended.
        ended: Indices to reset instead of stepping them; kept up to date.
        arguments: Returns those of the reset of an index.
    """

    def __init__(
        self,
        fleet: Fleet,
        mode: AutoresetMode,
        ended: set[int],
        arguments: Callable[[int], Mapping[str, Any]],
    ) -> None:
        self._fleet = fleet
        self._mode = mode
        self._ended = ended
        self._arguments = arguments
        self._resetting: set[int] = set()
        self._final: dict[int, StepResult[Any]] = {}
        self._due: list[int] = []
        self._gathering = Gathering(None if mode is AutoresetMode.DISABLED else self._through)
        self.all = self._gathering.all
        self.some = self._gathering.some

    @property
    def missing(self) -> int:
        """How many results are still to come."""
        return self._gathering.missing

    def send(self, actions: Mapping[int, Any]) -> None:
        """Send a step to each index."""
        ended = self._ended & actions.keys()
        if ended:
            self._ended -= ended
            self._resetting |= ended
            self._fleet.reset({index: self._arguments(index) for index in sorted(ended)}, self._gathering)
            actions = {index: action for index, action in actions.items() if index not in ended}
        if actions:
            self._fleet.step(actions, self._gathering)

    def _through(self, index: int, result: Result) -> Result | None:
        """Take note of what has ended; keep back what is to be reset within the same step."""
        if index in self._final:
            final = self._final.pop(index)
            if isinstance(result, RequestError):  # the step is told as it was; the next one tries to reset again
                self._ended.add(index)
                return final
            return _begun_anew(final, result)
        if index in self._resetting:
            self._resetting.discard(index)
            if isinstance(result, RequestError) or result.done:
                self._ended.add(index)
        elif isinstance(result, RequestError) or result.done:
            if self._mode is AutoresetMode.NEXT_STEP or isinstance(result, RequestError):
                self._ended.add(index)
            else:
                self._keep_back(index, result)
                return None
        return result

    def _keep_back(self, index: int, final: StepResult[Any]) -> None:
        self._final[index] = final
        if not self._due:  # those that end in one turn of the loop are reset together
            asyncio.get_running_loop().call_soon(self._reset_due)
        self._due.append(index)

    def _reset_due(self) -> None:
        due, self._due = self._due, []
        self._gathering.missing -= len(due)  # `reset` counts them once more
        self._fleet.reset({index: self._arguments(index) for index in due}, self._gathering)


def _begun_anew(final: StepResult[Any], first: StepResult[Any]) -> StepResult[Any]:
    """Return the result of a step that ended an episode and began the next one."""
    return StepResult(
        first.observation,
        final.reward,
        final.done,
        terminated=final.terminated,
        truncated=final.truncated,
        outcome=final.outcome,
        info={**first.info, "final_obs": final.observation, "final_info": final.info},
        metadata=first.metadata,
    )
