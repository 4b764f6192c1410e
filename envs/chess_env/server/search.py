"""A small player in plain Python: it looks a few half-moves ahead and counts pieces and where they stand.

It is there so that an opponent of some strength needs no program besides; it is no match for an engine.
"""

import random
import threading

import chess

VALUES = {chess.PAWN: 100, chess.KNIGHT: 320, chess.BISHOP: 330, chess.ROOK: 500, chess.QUEEN: 900, chess.KING: 0}
MATE = 1_000_000
FEW = 1400
"""The enemy's pieces are worth no more than that: it is time to drive the king to the edge."""


def best_move(
    board: chess.Board, depth: int, draw: random.Random, given_up: threading.Event | None = None
) -> chess.Move:
    """Return the best move within some half-moves; one of them at random where several are.

    Args:
        board: A position with legal moves.
        depth: Half-moves to look ahead, 1 or more.
        draw: Decides among equal moves.
        given_up: Once it is set, nobody waits for the move any more, and whatever comes soonest is returned.
    """
    given_up = given_up or threading.Event()
    moves = list(board.legal_moves)
    draw.shuffle(moves)
    best, most = moves[0], -2 * MATE
    for move in sorted(moves, key=lambda move: _promise(board, move), reverse=True):
        board.push(move)
        worth = -_search(board, depth - 1, -2 * MATE, -most, given_up)
        board.pop()
        if worth > most:
            best, most = move, worth
    return best


def greedy_move(board: chess.Board, draw: random.Random) -> chess.Move:
    """Return a move that takes the most, or mates; one of them at random where several do."""
    moves = list(board.legal_moves)
    draw.shuffle(moves)
    return max(moves, key=lambda move: _gain(board, move))


def _gain(board: chess.Board, move: chess.Move) -> int:
    board.push(move)
    mates = board.is_checkmate()
    board.pop()
    return MATE if mates else _taken(board, move) + VALUES.get(move.promotion or chess.KING, 0)


def _search(board: chess.Board, depth: int, least: int, most: int, given_up: threading.Event) -> int:
    """Return what a position is worth to the side whose turn it is; between two bounds exactly (alpha-beta)."""
    if given_up.is_set():
        return 0
    if board.is_repetition(2) or board.halfmove_clock >= 100 or board.is_insufficient_material():
        return 0
    moves = list(board.legal_moves)
    if not moves:
        return -MATE - depth if board.is_check() else 0
    if depth <= 0:
        return evaluate(board)
    for move in sorted(moves, key=lambda move: _promise(board, move), reverse=True):
        board.push(move)
        worth = -_search(board, depth - 1, -most, -least, given_up)
        board.pop()
        if worth >= most:
            return worth
        least = max(least, worth)
    return least


def _promise(board: chess.Board, move: chess.Move) -> int:
    """Return how much a move promises at first sight; the sooner good moves are tried, the less there is to try."""
    taken = _taken(board, move)
    return (
        10 * taken - VALUES[board.piece_type_at(move.from_square) or chess.PAWN]
        if taken
        else int(bool(move.promotion))
    )


def _taken(board: chess.Board, move: chess.Move) -> int:
    if board.is_en_passant(move):
        return VALUES[chess.PAWN]
    return VALUES.get(board.piece_type_at(move.to_square) or chess.KING, 0)


def evaluate(board: chess.Board) -> int:
    """Return what the pieces are worth to the side whose turn it is, in hundredths of a pawn."""
    return _side(board, board.turn) - _side(board, not board.turn)


def _side(board: chess.Board, color: chess.Color) -> int:
    worth = 0
    for kind, value in VALUES.items():
        for square in chess.scan_forward(board.pieces_mask(kind, color)):
            worth += value + _place(kind, square, color)
    king, other = board.king(color), board.king(not color)
    if king is not None and other is not None and _material(board, not color) <= FEW:
        worth += 8 * _off_centre(other) - 4 * chess.square_distance(king, other)
    return worth


def _material(board: chess.Board, color: chess.Color) -> int:
    return sum(value * board.pieces_mask(kind, color).bit_count() for kind, value in VALUES.items())


def _place(kind: chess.PieceType, square: chess.Square, color: chess.Color) -> int:
    if kind == chess.PAWN:
        rank = chess.square_rank(square)
        return 6 * (rank if color else 7 - rank)
    if kind in (chess.KNIGHT, chess.BISHOP):
        return -6 * _off_centre(square)
    return 0


def _off_centre(square: chess.Square) -> int:
    """Return how far a square is from the middle of the board, 0 to 6."""
    file, rank = chess.square_file(square), chess.square_rank(square)
    return max(3 - file, file - 4) + max(3 - rank, rank - 4)
