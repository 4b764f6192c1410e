"""What chess_env promises: the contract, the rules, notations, refusals, opponents, renderings."""

import asyncio
import random
import threading
from dataclasses import replace
from typing import Any

import pytest

chess = pytest.importorskip("chess", reason="chess is not installed")

from chess_env import ChessAction, ChessEnv, ChessObservation, policies
from chess_env.server.chess_environment import ChessEnvironment
from chess_env.server.search import best_move, evaluate, greedy_move
from openenv.errors import ConfigurationError, InvalidRequestError, NotResetError
from openenv.models import Cause, Status, StepResult
from openenv.providers import ProcessProvider, SandboxProvider
from openenv.testing import EnvironmentContract, EnvironmentMemoryContract

MOVES = ("e2e4", "d4", "g1f3", "Nc3")


class TestContract(EnvironmentContract):
    environment = ChessEnvironment
    actions = tuple(ChessAction(move=move) for move in MOVES)
    bad_actions = (
        {},
        {"move": ""},
        {"move": "e2e5"},
        {"move": "0000"},
        {"move": "--"},
        {"move": "e9"},
        {"move": 5},
        {"move": None},
        {"move": "x" * 10_000},
        {"move": "\x00"},
        {"move": "e2e4", "more": 1},
    )

    def choose_action(self, step: int, result: StepResult) -> ChessAction:
        moves = result.observation.legal_moves
        return ChessAction(move=moves[step % len(moves)])


class TestBothSides(TestContract):
    environment = staticmethod(lambda: ChessEnvironment("self", max_moves=6))
    seed_changes_nothing = "The agent plays both sides, and nothing is drawn."


@pytest.mark.slow
class TestMemory(EnvironmentMemoryContract):
    environment = ChessEnvironment
    actions = tuple(ChessAction(move=move) for move in MOVES[:1])
    steps = 1


def played(*moves: str, settings: dict[str, Any] | None = None, **reset: Any) -> list[StepResult]:
    """Make moves in one game."""

    async def game() -> list[StepResult]:
        environment = ChessEnvironment(**{"opponent": "self", **(settings or {})})
        try:
            await environment.reset(**reset)
            return [await environment.step(ChessAction(move=move)) for move in moves]
        finally:
            await environment.close()

    return asyncio.run(game())


def started(settings: dict[str, Any] | None = None, **reset: Any) -> ChessObservation:
    async def game() -> ChessObservation:
        environment = ChessEnvironment(**(settings or {}))
        try:
            return await environment.reset(**reset)
        finally:
            await environment.close()

    return asyncio.run(game())


# --- how a game ends -----------------------------------------------------------------------------------------


def ended(result: StepResult) -> tuple[Any, ...]:
    seen = result.observation
    assert (seen.legal_moves, result.terminated, result.truncated) == ([], True, False)
    return seen.termination, seen.result, result.reward


def test_mate_is_a_win_for_who_mates():
    assert ended(played("f3", "e5", "g4", "Qh4#")[-1]) == ("checkmate", "0-1", 1.0)
    assert ended(played("e4", "e5", "Bc4", "Nc6", "Qh5", "Nf6", "h5f7")[-1]) == ("checkmate", "1-0", 1.0)


def test_a_mate_by_the_opponent_is_a_loss():
    fen = "rnbqkbnr/pppp1ppp/8/4p3/8/5P2/PPPPP1PP/RNBQKBNR w KQkq - 0 2"
    result = played("g4", settings={"opponent": "greedy"}, fen=fen)[-1]
    assert ended(result) == ("checkmate", "0-1", -1.0)
    assert (result.observation.opponent_move, result.observation.opponent_move_san) == ("d8h4", "Qh4#")


@pytest.mark.parametrize(
    ("termination", "fen", "move"),
    [
        ("stalemate", "k7/8/2K5/8/1Q6/8/8/8 w - - 0 1", "Qb6"),
        ("insufficient_material", "8/8/8/8/8/8/1p1k4/K7 w - - 0 1", "Kxb2"),
    ],
)
def test_some_positions_are_drawn(termination, fen, move):
    assert ended(played(move, fen=fen)[-1]) == (termination, "1/2-1/2", 0.0)


BACK_AND_FORTH = ("Nf3", "Nf6", "Ng1", "Ng8")


def test_the_third_repetition_is_a_draw_and_without_claims_the_fifth():
    results = played(*BACK_AND_FORTH * 2)
    assert [result.done for result in results] == [False] * 7 + [True]
    assert ended(results[-1]) == ("threefold_repetition", "1/2-1/2", 0.0)
    results = played(*BACK_AND_FORTH * 4, settings={"claim_draws": False})
    assert [result.done for result in results] == [False] * 15 + [True]
    assert ended(results[-1]) == ("fivefold_repetition", "1/2-1/2", 0.0)


def test_fifty_moves_are_a_draw_and_without_claims_seventy_five():
    fen = "7k/8/8/8/8/8/R7/K7 w - - {} 90"
    assert ended(played("Ra3", fen=fen.format(99))[-1])[0] == "fifty_moves"
    assert not played("Ra3", fen=fen.format(99), settings={"claim_draws": False})[-1].done
    assert ended(played("Ra3", fen=fen.format(149), settings={"claim_draws": False})[-1])[0] == "seventyfive_moves"


def test_a_game_that_takes_too_long_is_cut_off_and_told():
    *_, before, last = played("a3", "a6", "b3", settings={"max_moves": 3})
    assert (before.done, before.observation.pgn) == (False, "")
    assert (last.truncated, last.terminated, last.reward, last.observation.result) == (True, False, 0.0, "*")
    assert "1. a3 a6 2. b3 *" in last.observation.pgn


# --- moves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fen", "move", "after"),
    [
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7a8q", "Q3k3"),
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a8=N", "N3k3"),
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "e1g1", "5RK1"),
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "O-O", "5RK1"),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "exd6", "3P4"),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", " e5d6 ", "3P4"),
    ],
)
def test_both_notations_are_understood(fen, move, after):
    assert after in played(move, fen=fen)[-1].observation.fen


@pytest.mark.parametrize(
    "move", ["e2e5", "Ke2", "0000", "--", "Z0", "e7e5", "e2e4q", "castle", "O-O", "@@@@", "P@e4", "e1h1", "\u0661"]
)
def test_an_illegal_move_is_refused_and_changes_nothing(move):
    async def game() -> None:
        environment = ChessEnvironment()
        before = await environment.reset(seed=1)
        with pytest.raises(InvalidRequestError, match="no legal move of white"):
            await environment.step(ChessAction(move=move))
        assert (environment.state.fen, environment.state.step_count) == (before.fen, 0)
        assert not (await environment.step(ChessAction(move="e2e4"))).done

    asyncio.run(game())


def test_or_it_loses_the_game_as_the_policys_fault():
    result = played("e4", "e2e4", settings={"illegal": "forfeit"})[-1]
    assert (result.outcome.status, result.outcome.cause) == (Status.POLICY_FAULT, Cause.ILLEGAL_ACTION)
    assert (result.reward, result.done, result.observation.result) == (-1.0, True, "1-0")
    assert result.observation.termination == "illegal_move"
    assert '[Termination "illegal_move"]' in result.observation.pgn


@pytest.mark.parametrize("move", ["", " ", "x", "e" * 17, "I think that " * 1000], ids=len)
def test_a_text_of_any_length_is_an_illegal_move(move):
    forfeited = played(move, settings={"illegal": "forfeit"})[-1]
    assert (forfeited.reward, forfeited.outcome.cause) == (-1.0, Cause.ILLEGAL_ACTION)
    assert len(forfeited.info["error"]) < 250
    with pytest.raises(InvalidRequestError, match="no legal move"):
        played(move)


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(NotResetError):
        asyncio.run(ChessEnvironment().step(ChessAction(move="e4")))


# --- starts and colors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reset",
    [
        {"fen": ""},
        {"fen": "no position"},
        {"fen": "8/8/8/8/8/8/8/8 w - - 0 1"},
        {"fen": "kk6/8/8/8/8/8/8/K7 w - - 0 1"},
        {"fen": "7k/5QK1/8/8/8/8/8/8 w - - 0 1"},
        {"fen": "rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3"},
        {"fen": 5},
        {"fen": "8" * 10_000},
        {"color": "red"},
        {"opponent": "kasparov"},
        {"opponent": "minimax", "depth": 9},
        {"nodes": 0},
        {"nodes": 10**30},
        {"skill": 3, "elo": 1500},
        {"skill": 21},
        {"depth": True},
        {"color": "black", "fen": "7k/5Q2/6K1/8/8/8/8/8 w - - 0 1", "opponent": "greedy"},
    ],
    ids=str,
)
def test_a_start_that_is_wrong_is_refused(reset):
    with pytest.raises(InvalidRequestError):
        started(**reset)


@pytest.mark.parametrize(
    ("fen", "told"),
    [
        ("8/8/8/8/8/8/8/8 w - - 0 1", "is no position of chess: NO_WHITE_KING|NO_BLACK_KING|EMPTY"),
        ("4k3/8/8/8/8/8/4R3/4K3 w - - 0 1", "is no position of chess: OPPOSITE_CHECK"),
        ("4k3/8/8/8/8/8/8/R3K3 w - - 100 80", "The game is over in"),
    ],
)
def test_and_what_is_wrong_with_it_is_told(fen, told):
    with pytest.raises(InvalidRequestError) as refused:
        started(fen=fen)
    assert told in str(refused.value)


def test_with_black_the_opponent_begins():
    seen = started(color="black", seed=1)
    assert (seen.color, seen.turn) == ("black", "black")
    assert seen.opponent_move in [move.uci() for move in chess.Board().legal_moves]
    assert started(color="white").opponent_move == ""


def test_a_color_may_be_drawn_by_the_seed():
    colors = [started({"color": "random"}, seed=seed).color for seed in range(12)]
    assert colors == [started({"color": "random"}, seed=seed).color for seed in range(12)]
    assert set(colors) == {"white", "black"}


@pytest.mark.parametrize(
    "settings",
    [{"opponent": "x"}, {"depth": 0}, {"color": "red"}, {"illegal": "ignore"}, {"max_moves": 0}, {"elo": 0}],
    ids=str,
)
def test_a_setting_that_is_wrong_says_so(settings):
    with pytest.raises(ConfigurationError):
        ChessEnvironment(**settings)


# --- opponents, policies, renderings -------------------------------------------------------------------------


def test_the_greedy_one_takes_the_most_and_mates_if_it_can():
    draw = random.Random(1)
    assert greedy_move(chess.Board("4k3/8/8/3q1p2/4P3/8/8/4K3 w - - 0 1"), draw).uci() == "e4d5"
    assert greedy_move(chess.Board("k7/8/1K6/8/8/8/8/q6Q w - - 0 1"), draw).uci() == "h1b7"
    assert greedy_move(chess.Board("8/8/1K6/8/k7/8/6n1/7Q w - - 0 1"), draw).uci() == "h1g2"


def test_the_one_that_looks_ahead_sees_a_mate_in_two_and_does_not_give_its_queen():
    assert best_move(chess.Board("7k/8/8/8/8/8/R7/1R5K w - - 0 1"), 3, random.Random(1)).uci()[:2] in ("a2", "b1")
    guarded = chess.Board("4k3/2p5/3p4/8/8/8/8/3QK3 w - - 0 1")
    assert best_move(guarded, 2, random.Random(1)).uci() != "d1d6"
    assert evaluate(chess.Board()) == 0


def test_the_seed_decides_what_a_random_opponent_plays():
    def answers(seed: int) -> list[str]:
        results = played(*MOVES[:2], settings={"opponent": "random"}, seed=seed)
        return [result.observation.opponent_move for result in results]

    assert answers(1) == answers(1)
    assert len({str(answers(seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("opponent", ["random", "greedy", "minimax"])
def test_a_step_that_was_given_up_and_is_repeated_is_answered_as_it_would_have_been(opponent, monkeypatch):
    async def game(give_up: bool) -> list[str]:
        environment = ChessEnvironment(opponent, depth=1)
        await environment.reset(seed=1)
        answers = []
        for move in ("a3", "b3", "c3"):
            if give_up:
                with monkeypatch.context() as patched:
                    patched.setattr(environment._opponents, "move", and_given_up(environment._opponents.move))
                    with pytest.raises(asyncio.CancelledError):
                        await environment.step(ChessAction(move=move))
            answers.append((await environment.step(ChessAction(move=move))).observation.opponent_move)
        return answers

    def and_given_up(answer: Any) -> Any:
        async def answered(*arguments: Any) -> None:
            await answer(*arguments)
            raise asyncio.CancelledError

        return answered

    assert asyncio.run(game(give_up=True)) == asyncio.run(game(give_up=False))


def test_the_one_that_looks_ahead_stops_when_its_step_is_given_up(monkeypatch):
    begun, ended = threading.Event(), threading.Event()

    def observed(*arguments: Any) -> Any:
        begun.set()
        try:
            return best_move(*arguments)
        finally:
            ended.set()

    async def game() -> None:
        environment = ChessEnvironment("minimax")
        await environment.reset(seed=1)
        environment._strength = replace(environment._strength, depth=40)  # it would think for years
        step = asyncio.create_task(environment.step(ChessAction(move="e4")))
        await asyncio.to_thread(begun.wait)
        step.cancel()
        await asyncio.wait([step])
        assert await asyncio.to_thread(ended.wait, 30)
        assert environment.state.step_count == 0

    monkeypatch.setattr("chess_env.server.opponents.best_move", observed)
    asyncio.run(game())


def test_a_board_is_drawn_as_text_and_as_svg_from_the_agents_side():
    async def game() -> None:
        environment = ChessEnvironment(color="black")
        seen = await environment.reset(seed=1, opponent="minimax", depth=1)
        lines = seen.board.splitlines()
        assert (lines[0], lines[-1]) == ("8 r n b q k b n r", "  a b c d e f g h")
        assert environment.render_web(seen).startswith("<svg")
        state = environment.state
        assert (state.color, state.opponent) == ("black", "minimax")
        assert '[White "minimax"]' in state.pgn
        assert '[Black "agent"]' in state.pgn

    asyncio.run(game())


@pytest.mark.slow
def test_the_policies_in_a_sandbox():
    with ChessEnv.with_provider(SandboxProvider("chess_env.server.app:app", memory_bytes=4 * 2**30)) as env:
        assert policies.oracle(env, seed=1) == policies.MAX_RETURN
        assert policies.null(env, seed=4) == 0.0
        assert policies.null(env, seed=1, opponent="greedy") == policies.MIN_RETURN


@pytest.mark.slow
def test_a_server_takes_its_settings_from_variables():
    variables = {"CHESS_OPPONENT": "minimax", "CHESS_DEPTH": "1", "CHESS_COLOR": "black", "CHESS_MAX_MOVES": "2"}
    with ChessEnv.with_provider(ProcessProvider("chess_env.server.app:app", env_vars=variables)) as env:
        moves = env.reset().observation.legal_moves
        assert (env.state().opponent, env.state().color) == ("minimax", "black")
        result = env.step(ChessAction(move=moves[0]))
        assert env.step(ChessAction(move=result.observation.legal_moves[0])).truncated
