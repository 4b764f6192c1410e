"""Stockfish as an opponent: a process of its own for each session, asked without holding up the server.

It is never left behind. It ends with its session. If the server is killed its input ends, at which every engine
ends; and where there is `setpriv`, the system kills it even if that input is held open by somebody else. If it
dies, hangs or talks nonsense, that is a fault of the environment and no move.
"""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import chess
import chess.engine

from openenv.errors import ConfigurationError, WorkspaceLostError

DEBIAN = Path("/usr/games/stockfish")  # which is not on everybody's PATH
START_S, MOVE_S, END_S = 30.0, 60.0, 3.0
BASE: Mapping[str, str | int] = {"Threads": 1, "Hash": 16}  # one thread, so that the same nodes give the same move


def stockfish() -> str | None:
    """Return where Stockfish is; None if it is not installed."""
    return shutil.which("stockfish") or (str(DEBIAN) if DEBIAN.exists() else None)


class Engine:
    """A process that speaks UCI, started when it is needed.

    Args:
        path: Of the program.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._transport: asyncio.SubprocessTransport | None = None
        self._protocol: chess.engine.UciProtocol | None = None
        self._configured: Mapping[str, str | int] = {}

    @property
    def pid(self) -> int | None:
        """The id of its process, if there is one."""
        return self._transport.get_pid() if self._transport is not None else None

    async def bounds(self, option: str) -> tuple[int, int] | None:
        """Return the least and the greatest value of one of its options; None if it has none of that name.

        Raises:
            WorkspaceLostError: It cannot be started.
        """
        found = (await self._running()).options.get(option)
        return None if found is None or found.min is None or found.max is None else (found.min, found.max)

    async def move(
        self, board: chess.Board, nodes: int, options: Mapping[str, str | int | bool], game: object
    ) -> chess.Move:
        """Return the engine's move.

        Args:
            board: The position.
            nodes: How many positions it may look at.
            options: Its strength.
            game: Another object for another game.

        Raises:
            WorkspaceLostError: It died, or did not answer in time. The next call starts another one.
            ConfigurationError: It has no such options.
        """
        try:
            protocol = await self._running()
            async with asyncio.timeout(MOVE_S):
                if self._configured != options:
                    await protocol.configure({**BASE, **options})
                    self._configured = options
                played = await protocol.play(board, chess.engine.Limit(nodes=nodes), game=game)
        except chess.engine.EngineTerminatedError as error:
            await self.close()
            raise WorkspaceLostError(f"The chess engine has ended: {error}") from error
        except TimeoutError as error:
            await self.close()
            raise WorkspaceLostError(f"The chess engine did not answer within {MOVE_S:.0f} s") from error
        except chess.engine.EngineError as error:
            await self.close()
            if not self._configured:
                raise ConfigurationError(f"The chess engine does not take {dict(options)}: {error}") from error
            raise WorkspaceLostError(f"The chess engine talks nonsense: {error}") from error
        if played.move is None:
            raise WorkspaceLostError("The chess engine did not move")
        return played.move

    async def close(self) -> None:
        """End the process, and see it end."""
        transport, protocol = self._transport, self._protocol
        self._transport = self._protocol = None
        self._configured = {}
        if transport is None or protocol is None:
            return
        try:
            async with asyncio.timeout(END_S):
                await protocol.quit()
        except (TimeoutError, chess.engine.EngineError):
            pass
        finally:
            if transport.get_returncode() is None:
                transport.kill()
            await asyncio.wait([protocol.returncode], timeout=END_S)  # so that it is reaped
            transport.close()

    async def _running(self) -> chess.engine.UciProtocol:
        if self._protocol is not None and not self._protocol.returncode.done():
            return self._protocol
        await self.close()
        guard = [shutil.which("setpriv"), "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        try:
            self._transport, self._protocol = await chess.engine.UciProtocol.popen(
                [*guard, self._path],
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is for the server
            )
            async with asyncio.timeout(START_S):
                await self._protocol.initialize()
        except (OSError, TimeoutError, chess.engine.EngineError) as error:
            await self.close()
            raise WorkspaceLostError(f"The chess engine cannot be started: {error}") from error
        except asyncio.CancelledError:
            await self.close()
            raise
        return self._protocol
