"""Plays chess against an opponent of chess_env: python examples/chess_game.py [--no-sandbox] [--opponent stockfish]

The agent looks two half-moves ahead. Opponents are random, greedy, minimax and, where it is installed, stockfish.
"""

import argparse
import random

import chess

from chess_env import ChessAction, ChessEnv
from chess_env.server.search import best_move
from openenv.errors import InvalidRequestError
from openenv.providers import ProcessProvider, SandboxProvider

SERVER = "chess_env.server.app:app"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--no-sandbox", action="store_true", help="where a sandbox cannot be had for the server")
    parser.add_argument("--opponent", default="greedy")
    options = parser.parse_args()
    provider = ProcessProvider(SERVER) if options.no_sandbox else SandboxProvider(SERVER)
    with ChessEnv.with_provider(provider) as env:
        play(env, options.opponent)


def play(env: ChessEnv, opponent: str) -> None:
    result, number, draw = env.reset(seed=1, opponent=opponent), 0, random.Random(1)
    print(f"The agent is {result.observation.color}, the opponent {opponent}.")
    try:
        env.step(ChessAction(move="e2e5"))
    except InvalidRequestError as error:
        print(f"An illegal move is refused: {error.message}")
    while not result.done:
        position, number = chess.Board(result.observation.fen), number + 1
        move = best_move(position, 2, draw)
        result = env.step(ChessAction(move=move.uci()))
        seen = result.observation
        if number % 5 == 1 or result.done:
            print(f"\n{number}. {position.san(move)} {seen.opponent_move_san}\n{seen.board}")
    print(f"\n{seen.result}, {seen.termination or 'cut off'}; the reward is {result.reward}.\n{seen.pgn}")


if __name__ == "__main__":
    main()
