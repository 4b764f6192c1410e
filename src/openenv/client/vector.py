"""`VectorEnvClient`: many sessions of one environment as one object.

Whatever happens to one of them, a call gives exactly as many results as were asked for, in their order: each is a
result, or a `Failure` that has the same fields.
"""

from __future__ import annotations

import asyncio
import operator
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from openenv.client.base import ActionT, ObservationT, StateT
from openenv.client.core import Keeper
from openenv.client.faces import Faces
from openenv.client.fleet import AutoresetMode, Fleet, Stepper
from openenv.client.gathering import Gathering
from openenv.client.link import websocket_url
from openenv.client.results import Failure, Results, VectorResult, in_order, told
from openenv.errors import ConfigurationError, RequestError
from openenv.models import Nothing
from openenv.protocol.batches import BatchCodec
from openenv.protocol.formats import JSON, MSGPACK
from openenv.protocol.v2 import MAX_BATCH
from openenv.providers.source import Source

if TYPE_CHECKING:
    from openenv.client.base import EnvClient

__all__ = ["AutoresetMode", "Failure", "Results", "VectorEnvClient", "VectorResult"]

SESSIONS_PER_CONNECTION = 64
MAX_CONNECTIONS = 8


ItemT = TypeVar("ItemT")


class VectorEnvClient(Faces, Generic[ActionT, ObservationT, StateT]):
    """N sessions of one environment, stepped together over few connections.

    ```python
    async with EchoEnv.vector(base_url="http://localhost:8000", num_envs=64) as envs:
        results = await envs.reset(seeds=0)                       # seeds 0 to 63
        results = await envs.step([policy(r.observation) for r in results])
    ```

    It can be entered in every way an `EnvClient` can. All sessions are opened when it connects. A session that is
    lost later fails alone, and `reset` opens another in its place.

    Args:
        client_class: The class of a client of one session; it has the types and hooks.
        base_url: Address of the server, `http://host:port`.
        num_envs: How many sessions.
        connections: Over how many connections; by default one for each 64 sessions, and at most 8. A server that
            speaks version 1 of the protocol only gets one for each session.
        autoreset: What happens to an environment whose episode is over. In `NEXT_STEP` and `SAME_STEP`, one that
            failed is reset by the next step.
        autoreset_arguments: Returns the arguments of such a reset, given an index; called on the event loop. None
            for none.
        **client_options: Those of the client class, such as `provider`, `message_timeout_s` or `headers`.

    Raises:
        ConfigurationError: A number is out of its range, or an option is wrong.
    """

    def __init__(
        self,
        client_class: type[EnvClient[ActionT, ObservationT, StateT]],
        base_url: str | None = None,
        num_envs: int = 64,
        connections: int | None = None,
        autoreset: AutoresetMode | str = AutoresetMode.DISABLED,
        autoreset_arguments: Callable[[int], Mapping[str, Any]] | None = None,
        **client_options: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigurationError(f"num_envs is at least 1, not {num_envs}")
        sizes = _sizes(num_envs, connections)
        single = client_class(base_url=base_url, **client_options)
        form = MSGPACK if single._codec.binary else JSON
        codec = self._codec_of(single)
        options = single._options
        self.num_envs = num_envs
        self.autoreset = AutoresetMode(getattr(autoreset, "value", autoreset))
        self._single = single
        self._keeper = Keeper(
            lambda address: Fleet(websocket_url(address), options, codec, form, sizes),
            base_url,
            single._provider,
            Source.of(client_class),
        )
        self._autoreset_arguments = autoreset_arguments or _no_arguments
        self._ended: set[int] = set()
        self._begin(self._keeper)

    # --- what can be asked -----------------------------------------------------------------------

    def reset(
        self,
        seeds: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        indices: Sequence[int] | None = None,
    ) -> Results[VectorResult[ObservationT]]:
        """Start new episodes. A session that is lost is opened anew.

        Args:
            seeds: An integer gives each environment that plus its index; or one for each that is asked for.
            options: Further arguments of the environment's `reset`: the same for all, or a mapping for each.
            indices: Which; all by default.

        Returns:
            A result or failure for each that is asked for, in that order.

        Raises:
            ConfigurationError: An index is unknown or twice, or the numbers of things do not agree.
            ConnectionFailedError: Nobody answers at the address.
            SessionCapacityError: The server has no room for all sessions when they are opened.
        """
        asked = self._indices(indices)
        arguments = _arguments(asked, seeds, options)
        return self._call(lambda: self._reset(arguments))

    def step(self, actions: Sequence[ActionT] | Mapping[int, ActionT]) -> Results[VectorResult[ObservationT]]:
        """Execute an action in each environment, or, given a mapping, in some of them.

        Args:
            actions: One for each environment, or those of some by index.

        Returns:
            A result or failure for each action, in their order, when the last one is there.

        Raises:
            ConfigurationError: There are too many or too few, or an index is unknown.
            SessionLost: The client was closed.
        """
        by_index = self._actions(actions)
        return self._call(lambda: self._step(by_index), quick=True)

    def _step_begun(self, actions: Sequence[Any]) -> Callable[[], Results[VectorResult[ObservationT]]]:
        """Begin what `step` does, for a blocking caller, and return what waits for its results."""
        by_index = self._actions(actions)
        return self._begun(lambda: self._step(by_index))

    def step_ready(self, actions: Sequence[ActionT] | Mapping[int, ActionT]) -> Ready[ActionT, ObservationT]:
        """Execute actions and give each result as it comes: `async for index, result in ...`, or `for`.

        What is iterated over has a method `send` that takes further actions, for whoever is ready.

        Args:
            actions: One for each environment, or those of some by index.

        Raises:
            ConfigurationError: There are too many or too few, or an index is unknown.
        """
        return Ready(self, self._actions(actions))

    def state(self, indices: Sequence[int] | None = None) -> Results[StateT | Failure]:
        """Return where the episodes stand.

        Args:
            indices: Of which; of all by default.

        Raises:
            ConfigurationError: An index is unknown or twice.
        """
        asked = self._indices(indices)
        return self._call(lambda: self._states(asked))

    def sync(self) -> Self:
        """Return this object for blocking calls."""
        self._block()
        return self

    @property
    def base_url(self) -> str | None:
        """Address of the server; None until a provider has started it."""
        return self._keeper.base_url

    def __len__(self) -> int:
        return self.num_envs

    # --- the async core --------------------------------------------------------------------------

    async def _connected(self) -> Self:
        await self._keeper.connect()
        return self

    async def _closed(self) -> Nothing:
        await self._keeper.close()
        return Nothing()

    async def _reset(self, arguments: dict[int, dict[str, Any]]) -> Results[VectorResult[ObservationT]]:
        fleet = await self._keeper.live(again=True)
        gathering = Gathering()
        fleet.reset(arguments, gathering)
        results = await gathering.all()
        if self.autoreset is not AutoresetMode.DISABLED:
            self._ended -= arguments.keys()
            self._ended |= {index for index, result in results.items() if isinstance(result, RequestError)}
        return in_order(arguments, results)

    async def _step(self, actions: Mapping[int, ActionT]) -> Results[VectorResult[ObservationT]]:
        stepper = await self._stepper()
        stepper.send(actions)
        return in_order(actions, await stepper.all())

    async def _abandon(self, indices: Sequence[int]) -> Nothing:
        (await self._keeper.live()).abandon(indices)
        await asyncio.sleep(0)  # they are lost from the next turn of the loop on
        return Nothing()

    async def _stepper(self) -> Stepper:
        return Stepper(await self._keeper.live(), self.autoreset, self._ended, self._autoreset_arguments)

    async def _states(self, asked: Sequence[int]) -> Results[StateT | Failure]:
        fleet = await self._keeper.live()

        async def read(index: int) -> StateT | Failure:
            try:
                return self._single._read_state(await fleet.state(index))
            except RequestError as error:
                return Failure(index, error, error.outcome)

        return Results(await asyncio.gather(*map(read, asked)))

    def _codec_of(self, single: EnvClient[ActionT, ObservationT, StateT]) -> BatchCodec:
        return BatchCodec(
            single._codec,
            payload=None if single._typed_payload else single._step_payload,
            parse=None if single._typed_result else single._parse_result,
        )

    # --- arguments -------------------------------------------------------------------------------

    def _indices(self, indices: Iterable[int] | None) -> Sequence[int]:
        if indices is None:
            return range(self.num_envs)
        asked = [operator.index(index) for index in indices]
        unknown = [index for index in asked if not 0 <= index < self.num_envs]
        if unknown:
            raise ConfigurationError(f"There is no environment {unknown[0]}; they are 0 to {self.num_envs - 1}")
        if len(set(asked)) < len(asked):
            raise ConfigurationError(f"An index is given twice: {asked}")
        return asked

    def _actions(self, actions: Sequence[ActionT] | Mapping[int, ActionT]) -> dict[int, ActionT]:
        if isinstance(actions, Mapping):
            return dict(zip(self._indices(actions), actions.values(), strict=True))
        if len(actions) != self.num_envs:
            raise ConfigurationError(
                f"There are {len(actions)} actions for {self.num_envs} environments; "
                "to step some of them, give a dictionary of actions by index"
            )
        return dict(enumerate(actions))


class Ready(Generic[ActionT, ObservationT]):
    """Results as they come. Iterate over it by `async for` or by `for`; the first turn sends the actions.

    Args:
        env: Whose results.
        actions: The first actions.
    """

    def __init__(self, env: VectorEnvClient[ActionT, ObservationT, Any], actions: dict[int, ActionT]) -> None:
        self._env = env
        self._unsent = actions
        self._under_way: set[int] = set(actions)
        self._ready: deque[tuple[int, VectorResult[ObservationT]]] = deque()
        self._stepper: Stepper | None = None

    def send(self, actions: Mapping[int, ActionT]) -> None:
        """Add actions for environments whose result has been given; they leave before the next wait.

        Raises:
            ConfigurationError: An index is unknown, or its result has not been given yet.
        """
        checked = self._env._actions(dict(actions))
        early = self._under_way & checked.keys()
        if early:
            raise ConfigurationError(f"The step of environment {min(early)} is still under way")
        self._under_way |= checked.keys()
        self._unsent |= checked

    def __aiter__(self) -> AsyncIterator[tuple[int, VectorResult[ObservationT]]]:
        return self

    async def __anext__(self) -> tuple[int, VectorResult[ObservationT]]:
        if not self._ready:
            if not self._under_way:
                raise StopAsyncIteration
            self._env._settle_here()
            self._ready += await self._env._run(self._more)
        return self._next()

    def __iter__(self) -> Iterator[tuple[int, VectorResult[ObservationT]]]:
        return self

    def __next__(self) -> tuple[int, VectorResult[ObservationT]]:
        if not self._ready:
            if not self._under_way:
                raise StopIteration
            self._env._block()
            self._ready += self._env._start(self._more)
        return self._next()

    def _next(self) -> tuple[int, VectorResult[ObservationT]]:
        index, result = self._ready.popleft()
        self._under_way.discard(index)
        return index, result

    async def _more(self) -> list[tuple[int, VectorResult[ObservationT]]]:
        if self._stepper is None:
            self._stepper = await self._env._stepper()
        unsent, self._unsent = self._unsent, {}
        if unsent:
            self._stepper.send(unsent)
        results = await self._stepper.some()
        return [(index, told(index, result)) for index, result in results.items()]


def _no_arguments(_index: int) -> Mapping[str, Any]:
    return {}


def _sizes(num_envs: int, connections: int | None) -> list[int]:
    """Return how many sessions each connection gets."""
    if connections is None:
        connections = min(-(-num_envs // SESSIONS_PER_CONNECTION), MAX_CONNECTIONS)
    if not 1 <= connections <= num_envs:
        raise ConfigurationError(f"connections is between 1 and the number of environments, not {connections}")
    least, more = divmod(num_envs, connections)
    if least + bool(more) > MAX_BATCH:
        raise ConfigurationError(
            f"A connection holds {MAX_BATCH} sessions of a client; {num_envs} need more than {connections}"
        )
    return [least + (place < more) for place in range(connections)]


def _arguments(
    asked: Sequence[int],
    seeds: int | Sequence[int | None] | None,
    options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> dict[int, dict[str, Any]]:
    """Return the arguments of each reset, by index."""
    if options is None or isinstance(options, Mapping):
        arguments = {index: dict(options or {}) for index in asked}
    else:
        arguments = {index: dict(given) for index, given in _aligned("options", asked, options)}
    if seeds is None:
        return arguments
    each = seeds if isinstance(seeds, Sequence) else [operator.index(seeds) + index for index in asked]
    for index, seed in _aligned("seeds", asked, each):
        if seed is not None:
            arguments[index]["seed"] = operator.index(seed)
    return arguments


def _aligned(what: str, asked: Sequence[int], given: Sequence[ItemT]) -> Iterable[tuple[int, ItemT]]:
    if len(given) != len(asked):
        raise ConfigurationError(f"There are {len(given)} {what} for {len(asked)} environments; give one for each")
    return zip(asked, given, strict=True)
