"""A strategy that reaches 2048 in about half of its games. It is sent to the environment as source, like a model's.

It looks two moves ahead, over all fields where a tile may appear, and likes heavy tiles along a snake from a
corner.
"""

WEIGHTS = ((15, 14, 13, 12), (8, 9, 10, 11), (7, 6, 5, 4), (0, 1, 2, 3))
EMPTY = 50


def slid(line):
    """Return a line that was pushed to its beginning."""
    kept, mergeable = [], False
    for tile in filter(None, line):
        if mergeable and kept[-1] == tile:
            kept[-1], mergeable = 2 * tile, False
        else:
            kept.append(tile)
            mergeable = True
    return kept + [0] * (len(line) - len(kept))


def after(board, move):
    """Return the board after a move, before a new tile appears."""
    lines = [list(line) for line in zip(*board, strict=True)] if move in "WS" else board
    lines = [slid(line[::-1])[::-1] if move in "SD" else slid(line) for line in lines]
    return [list(line) for line in zip(*lines, strict=True)] if move in "WS" else lines


def worth(board):
    """Return how good a board is."""
    heavy = sum(
        w * t for weights, row in zip(WEIGHTS, board, strict=True) for w, t in zip(weights, row, strict=True)
    )
    return heavy + EMPTY * sum(row.count(0) for row in board)


def expected(board):
    """Return what the best next move is worth, on average over where a 2 may appear."""
    empty = [(r, c) for r in range(4) for c in range(4) if not board[r][c]]
    total = 0
    for r, c in empty:
        board[r][c] = 2
        total += max((worth(then) for then in (after(board, move) for move in "WADS") if then != board), default=0)
        board[r][c] = 0
    return total / len(empty)


def strategy(board):
    """Return the move that is expected to be worth most."""
    moves = [(move, after(board, move)) for move in "WADS"]
    return max((expected(then), move) for move, then in moves if then != board)[1]
