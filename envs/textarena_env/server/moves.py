"""Which moves there are: as a game lists them for its players, from its board, or always the same ones.

Only games are named here whose moves are complete that way; the tests play all of them by these moves to the end.
"""

import re
from collections.abc import Sequence
from typing import Any

LISTED = frozenset(
    {
        "Crusade",
        "KuhnPoker",
        "Othello",
        "PigDice",
        "SimpleTak",
        "Stratego",
        "TicTacToe",
        "WildTicTacToe",
    }
)
ALWAYS = {
    "IteratedMatchingPennies": ("[heads]", "[tails]"),
    "IteratedRockPaperScissors": ("[rock]", "[paper]", "[scissors]"),
    "Blackjack": ("[Hit]", "[Stand]"),
}
_LIST = re.compile(r"(?:available|valid|legal)\s+(?:moves|actions)[^:\n\[]*:(.*)", re.IGNORECASE)
_MOVE = re.compile(r"\[[^\[\]]+\]")


def moves_of(env_id: str, env: Any, told: Sequence[Any]) -> list[str]:
    """Return the moves of the player whose turn it is; none where they are not known.

    Args:
        env_id: The game.
        env: The game itself, which has its board.
        told: All messages to that player.
    """
    name = re.sub("-v[0-9].*", "", env_id)
    if name in ALWAYS:
        return list(ALWAYS[name])
    if name == "ConnectFour":
        top = env.state.game_state["board"][0]
        return [f"[col {column}]" for column, mark in enumerate(top) if mark == "."]
    if name == "Nim":
        piles = env.state.game_state["piles"]
        return [f"[{pile} {count}]" for pile, size in enumerate(piles) for count in range(1, size + 1)]
    if name in LISTED:
        for message in reversed(told):
            if message.sender_id < 0 and (found := _LIST.findall(message.content)):
                return _MOVE.findall(found[-1])
    return []


def are_known(env_id: str) -> bool:
    """Return whether the moves of a game are known."""
    name = re.sub("-v[0-9].*", "", env_id)
    return name in ALWAYS or name in LISTED or name in ("ConnectFour", "Nim")
