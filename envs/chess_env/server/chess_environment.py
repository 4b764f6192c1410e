"""The chess environment: the agent's move, the opponent's answer, and the result at the end.

A step is one move of each side. If the opponent fails, the agent's move is taken back, so the step can be repeated.
"""

import random
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

import chess
import chess.pgn
import chess.svg

from openenv.environment import Environment
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import Cause, Outcome, StepResult

from ..models import ChessAction, ChessObservation, ChessState
from .opponents import SELF, Opponents, Strength

WIN, DRAW, LOSS = 1.0, 0.0, -1.0
COLORS = {"white": chess.WHITE, "black": chess.BLACK}


class ChessEnvironment(Environment[ChessAction, ChessObservation, ChessState]):
    """Chess by all its rules against an opponent. Reward 1.0 for a win, -1.0 for a loss, 0.0 for all else.

    Args:
        opponent: `random`, `greedy` (takes what it can), `minimax` (looks ahead), `stockfish`, or `self`: the agent
            plays both sides, and the reward is that of the side that has just moved.
        depth: Half-moves that `minimax` looks ahead, 1 to 4.
        nodes: Positions that Stockfish looks at for a move.
        skill: Stockfish's level, 0 to 20.
        elo: The rating that Stockfish plays at.
        engine: Where Stockfish is; None to look for it.
        color: What the agent plays: `white`, `black` or `random`.
        illegal: What comes of an illegal move: `refuse`, and it may try again, or `forfeit`, and the game is lost.
        claim_draws: A game is drawn at the third repetition and after fifty moves, as players may claim; without it
            at the fifth, and after seventy-five.
        max_moves: Moves of the agent after which a game is cut off.

    Raises:
        ConfigurationError: A setting is wrong, or Stockfish is not installed.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(
        self,
        opponent: str = "random",
        *,
        depth: int = 2,
        nodes: int = 10_000,
        skill: int | None = None,
        elo: int | None = None,
        engine: str | None = None,
        color: str = "white",
        illegal: Literal["refuse", "forfeit"] = "refuse",
        claim_draws: bool = True,
        max_moves: int = 200,
    ) -> None:
        super().__init__()
        self._opponents = Opponents(engine)
        self._usual = self._strength = Strength(opponent, depth, nodes, skill, elo)
        if wrong := self._usual.unfit(self._opponents.path):
            raise ConfigurationError(wrong)
        if color not in (*COLORS, "random") or illegal not in ("refuse", "forfeit") or max_moves < 1:
            raise ConfigurationError(
                "color is white, black or random, illegal is refuse or forfeit, max_moves 1 or more"
            )
        self._color, self._illegal, self._claim_draws, self._max_moves = color, illegal, claim_draws, max_moves
        self._board: chess.Board | None = None
        self._seed = 0
        self._game = object()
        self._mine: str = "white"
        self._forfeited = False
        self._state = ChessState()

    async def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        fen: str | None = None,
        color: str | None = None,
        opponent: str | None = None,
        depth: int | None = None,
        nodes: int | None = None,
        skill: int | None = None,
        elo: int | None = None,
    ) -> ChessObservation:
        """Set up a game; where it is not the agent's turn, the opponent begins. What is given counts for this game.

        Args:
            seed: Of what is drawn: moves of `random`, equal moves of `greedy` and `minimax`, the color.
            episode_id: The id that the episode shall have.
            fen: The position to start from.
            color: What the agent plays.
            opponent: Who plays against it.
            depth: See above, as the others.
            nodes: As above.
            skill: As above.
            elo: As above.

        Raises:
            InvalidRequestError: There is no such position, color, opponent or strength, or the game is over in it.
            ConfigurationError: The engine does not have the rating that the environment was made with.
            WorkspaceLostError: The engine cannot be started.
        """
        given = {"opponent": opponent, "depth": depth, "nodes": nodes, "skill": skill, "elo": elo}
        changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if changed.keys() & {"skill", "elo"}:  # of which one is given, so that the other does not count
            changed = {"skill": None, "elo": None} | changed
        strength = replace(self._usual, **changed)
        if wrong := strength.unfit(self._opponents.path):
            raise InvalidRequestError(wrong)
        board, draw = _position(fen), random.Random(seed)
        if self._ruled(board):
            raise InvalidRequestError(f"The game is over in {fen!r}")
        mine = self._color if color is None else color
        mine = draw.choice(("white", "black")) if mine == "random" else mine
        if mine not in COLORS:
            raise InvalidRequestError(f"The color is white, black or random, and not {color!r:.100}")
        if wrong := await self._opponents.unfit(strength):
            raise InvalidRequestError(wrong) if "elo" in changed else ConfigurationError(wrong)
        self._strength, self._seed, self._board, self._game = strength, draw.getrandbits(64), None, object()
        self._forfeited = False
        self._mine = "both" if strength.opponent == SELF else mine
        answer = ""
        if self._mine != "both" and board.turn != COLORS[mine]:
            answer = await self._answer(board)
        if self._over(board):
            raise InvalidRequestError(
                f"The opponent's first move, {answer}, has ended the game; choose another start"
            )
        self._board = board
        self._state = ChessState(episode_id=episode_id or uuid4().hex, step_count=0)
        return self._seen(board, answer)

    async def step(self, action: ChessAction) -> StepResult[ChessObservation]:
        """Make a move, and have it answered.

        Raises:
            InvalidRequestError: The move is illegal, and illegal moves are refused. Nothing has changed.
            WorkspaceLostError: The engine has ended. Nothing has changed; the step may be repeated.
        """
        board = self._board
        if board is None:
            raise NotResetError("There is no game yet: call reset() before step()")
        move, mover = _read(board, action.move), board.turn
        if move is None:
            return self._wrong(board, action.move)
        board.push(move)
        answer = ""
        try:
            if not self._over(board) and self._mine != "both":
                answer = await self._answer(board)
        except BaseException:
            board.pop()
            raise
        self._state.step_count += 1
        over = self._over(board)
        cut = not over and self._state.step_count >= self._max_moves
        reward = {"1-0": WIN, "0-1": LOSS}.get(over[0], DRAW) if over else 0.0
        return StepResult(
            self._seen(board, answer, whole=cut),
            reward=reward if mover == chess.WHITE else 0.0 - reward,
            terminated=bool(over),
            truncated=cut,
        )

    @property
    def state(self) -> ChessState:
        """The episode's id, the position, the game so far and its steps."""
        board = self._board
        if board is not None:
            self._state = self._state.model_copy(
                update={
                    "fen": board.fen(),
                    "color": self._mine,
                    "opponent": self._strength.opponent,
                    "pgn": self._pgn(board),
                }
            )
        return self._state

    async def close(self) -> None:
        """End the engine."""
        self._board = None
        await self._opponents.close()

    def render_web(self, observation: ChessObservation) -> str:
        """Return the board as an SVG, seen from the agent's side."""
        board = self._board or chess.Board(observation.fen)
        last = board.peek() if board.move_stack else None
        check = board.king(board.turn) if board.is_check() else None
        return chess.svg.board(board, orientation=self._mine != "black", lastmove=last, check=check, size=400)

    # --- the game ------------------------------------------------------------------------------------------

    async def _answer(self, board: chess.Board) -> str:
        # Drawn for this move alone, so that a step that is repeated after it was given up draws the same.
        draw = random.Random(f"{self._seed} {board.ply()}")
        move = await self._opponents.move(board, self._strength, draw, self._game)
        board.push(move)
        return move.uci()

    def _wrong(self, board: chess.Board, text: str) -> StepResult[ChessObservation]:
        message = f"{text!r:.100} is no legal move of {_side(board.turn)} in {board.fen()}"
        if self._illegal == "refuse":
            raise InvalidRequestError(message)
        self._forfeited = True
        self._state.step_count += 1
        return StepResult(
            self._seen(board, ""),
            reward=LOSS,
            outcome=Outcome.policy_fault(Cause.ILLEGAL_ACTION),
            info={"error": message},
        )

    def _over(self, board: chess.Board) -> tuple[str, str] | None:
        """Return the result and the reason; None if the game goes on."""
        if self._forfeited:
            return ("0-1" if board.turn == chess.WHITE else "1-0"), "illegal_move"
        return self._ruled(board)

    def _ruled(self, board: chess.Board) -> tuple[str, str] | None:
        """Return the same by the rules of chess alone."""
        if found := board.outcome():
            return found.result(), found.termination.name.lower()
        if self._claim_draws and board.is_repetition(3):
            return "1/2-1/2", "threefold_repetition"
        if self._claim_draws and board.is_fifty_moves():
            return "1/2-1/2", "fifty_moves"
        return None

    def _seen(self, board: chess.Board, answer: str, *, whole: bool = False) -> ChessObservation:
        result, termination = self._over(board) or ("*", "")
        return ChessObservation(
            fen=board.fen(),
            board=_drawn(board),
            color=self._mine,
            turn=_side(board.turn),
            legal_moves=[] if termination else sorted(move.uci() for move in board.legal_moves),
            in_check=board.is_check(),
            opponent_move=answer,
            opponent_move_san=_last_san(board) if answer else "",
            result=result,
            termination=termination,
            pgn=self._pgn(board) if termination or whole else "",
        )

    def _pgn(self, board: chess.Board) -> str:
        game = chess.pgn.Game.from_board(board)
        names = {_side(not COLORS.get(self._mine, True)): self._strength.opponent, self._mine: "agent"}
        game.headers["White"], game.headers["Black"] = names.get("white", "agent"), names.get("black", "agent")
        if self._mine == "both":
            game.headers["White"] = game.headers["Black"] = "agent"
        result, termination = self._over(board) or ("*", "")
        game.headers["Result"] = result
        if termination:
            game.headers["Termination"] = termination
        return str(game)


def _position(fen: str | None) -> chess.Board:
    """Return the position to start from.

    Raises:
        InvalidRequestError: There is no such position.
    """
    if fen is None:
        return chess.Board()
    try:
        board = chess.Board(fen)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequestError(f"{fen!r:.200} is no FEN: {error}") from None
    if not board.is_valid():
        raise InvalidRequestError(f"{fen!r} is no position of chess: {board.status().name}")
    return board


def _read(board: chess.Board, text: str) -> chess.Move | None:
    """Return the legal move that a text in UCI or SAN stands for, if it does."""
    for read in (board.parse_uci, board.parse_san):
        try:
            move = read(text.strip())
        except ValueError:
            continue
        return move or None  # passing is written as a move, and is none
    return None


def _side(color: chess.Color) -> str:
    return "white" if color == chess.WHITE else "black"


def _drawn(board: chess.Board) -> str:
    ranks = [f"{8 - number} {line}" for number, line in enumerate(str(board).splitlines())]
    return "\n".join([*ranks, "  a b c d e f g h"])


def _last_san(board: chess.Board) -> str:
    before = board.copy(stack=1)
    move = before.pop()
    return before.san(move)
