"""The tasks that come with the environment, from easy to moderate; `read_task` says what their parts mean."""

from __future__ import annotations

from typing import Any

TASKS: tuple[dict[str, Any], ...] = (
    {
        "id": "second_largest",
        "prompt": (
            "Write second_largest(numbers), which returns the second largest of the different values in a list "
            "of integers, or None if there are fewer than two different values."
        ),
        "entry_point": "second_largest",
        "examples": ["second_largest([3, 1, 2]) == 2", "second_largest([5, 5]) == None"],
        "tests": [
            "second_largest([10, 20, 30, 40]) == 30",
            "second_largest([7, 7, 6]) == 6",
            "second_largest([-1, -5, -3]) == -3",
            "second_largest([0, -1]) == -1",
            "second_largest([2, 9, 9, 4, 9, 8, 8]) == 8",
            "(second_largest([]), second_largest([4]), second_largest([4, 4, 5])) == (None, None, 4)",
        ],
    },
    {
        "id": "run_lengths",
        "prompt": (
            "Write run_lengths(text), which returns a list of (character, length) tuples, one for each run of "
            "equal characters, from left to right."
        ),
        "entry_point": "run_lengths",
        "examples": ["run_lengths('aab') == [('a', 2), ('b', 1)]"],
        "tests": [
            "run_lengths('') == []",
            "run_lengths('x') == [('x', 1)]",
            "run_lengths('zzzz') == [('z', 4)]",
            "run_lengths('abca') == [('a', 1), ('b', 1), ('c', 1), ('a', 1)]",
            "run_lengths('  !!') == [(' ', 2), ('!', 2)]",
        ],
    },
    {
        "id": "roman_numeral",
        "prompt": "Write roman_numeral(number), which returns a number from 1 to 3999 in Roman numerals.",
        "entry_point": "roman_numeral",
        "examples": ["roman_numeral(14) == 'XIV'"],
        "tests": [
            "roman_numeral(1) == 'I'",
            "roman_numeral(4) == 'IV'",
            "roman_numeral(90) == 'XC'",
            "roman_numeral(444) == 'CDXLIV'",
            "roman_numeral(1987) == 'MCMLXXXVII'",
            "roman_numeral(3999) == 'MMMCMXCIX'",
        ],
    },
    {
        "id": "balanced_brackets",
        "prompt": (
            "Write balanced_brackets(text), which returns the position of the first character at which the "
            "brackets ()[]{} of a text go wrong: of a closing one that does not match, else of the last opening "
            "one that is never closed. It returns -1 if nothing is wrong. Other characters do not matter."
        ),
        "entry_point": "balanced_brackets",
        "examples": ["balanced_brackets('f(x)[0]') == -1", "balanced_brackets('(]') == 1"],
        "tests": [
            "balanced_brackets('') == -1",
            "balanced_brackets('{[()]}') == -1",
            "balanced_brackets('a)') == 1",
            "balanced_brackets('((x)') == 0",
            "balanced_brackets('([ )') == 3",
            "balanced_brackets('[()') == 0",
            "balanced_brackets('{}(((') == 4",
        ],
    },
    {
        "id": "merge_intervals",
        "prompt": (
            "Write merge_intervals(intervals): given a list of [start, end] lists in any order, it returns the "
            "sorted list of the intervals that cover the same points; those that touch are one. It does not "
            "change its argument."
        ),
        "entry_point": "merge_intervals",
        "examples": ["merge_intervals([[1, 3], [2, 5]]) == [[1, 5]]"],
        "tests": [
            "merge_intervals([]) == []",
            "merge_intervals([[4, 6]]) == [[4, 6]]",
            "merge_intervals([[5, 7], [1, 2]]) == [[1, 2], [5, 7]]",
            "merge_intervals([[1, 4], [4, 5]]) == [[1, 5]]",
            "merge_intervals([[1, 9], [2, 3], [8, 12], [20, 21]]) == [[1, 12], [20, 21]]",
            "(lambda given: (merge_intervals(given), given))([[3, 4], [1, 3]]) == ([[1, 4]], [[3, 4], [1, 3]])",
        ],
    },
    {
        "id": "rotate_matrix",
        "prompt": (
            "Write rotate_matrix(rows), which returns a matrix, a list of lists of the same length, turned by "
            "90 degrees clockwise."
        ),
        "entry_point": "rotate_matrix",
        "examples": ["rotate_matrix([[1, 2], [3, 4]]) == [[3, 1], [4, 2]]"],
        "tests": [
            "rotate_matrix([[5]]) == [[5]]",
            "rotate_matrix([[1, 2, 3]]) == [[1], [2], [3]]",
            "rotate_matrix([[1], [2], [3]]) == [[3, 2, 1]]",
            "rotate_matrix([[1, 2, 3], [4, 5, 6], [7, 8, 9]]) == [[7, 4, 1], [8, 5, 2], [9, 6, 3]]",
            "rotate_matrix([[1, 2, 3], [4, 5, 6]]) == [[4, 1], [5, 2], [6, 3]]",
        ],
    },
    {
        "id": "anagram_groups",
        "prompt": (
            "Write anagram_groups(words), which groups words that are made of the same letters. Each group is a "
            "sorted list without repetitions; groups of one word are left out; the groups are sorted, too."
        ),
        "entry_point": "anagram_groups",
        "examples": ["anagram_groups(['tea', 'ten', 'eat']) == [['eat', 'tea']]"],
        "tests": [
            "anagram_groups([]) == []",
            "anagram_groups(['one', 'two']) == []",
            "anagram_groups(['net', 'ten', 'ten']) == [['net', 'ten']]",
            "anagram_groups(['stop', 'post', 'art', 'rat', 'tops']) == [['art', 'rat'], ['post', 'stop', 'tops']]",
            "anagram_groups(['aab', 'abb', 'aba']) == [['aab', 'aba']]",
        ],
    },
    {
        "id": "evaluate",
        "prompt": (
            "Write evaluate(text), which returns the integer value of an expression of non-negative integers, "
            "+, -, * and parentheses, with the usual precedence and any spaces. Do not use eval or exec. There "
            "is no unary minus."
        ),
        "entry_point": "evaluate",
        "examples": ["evaluate('2 + 3 * 4') == 14"],
        "tests": [
            "evaluate('7') == 7",
            "evaluate('10 - 4 - 3') == 3",
            "evaluate('(10 - 4) * (1 + 1)') == 12",
            "evaluate(' ((2)) *3+ 1 ') == 7",
            "evaluate('1 - (2 - (3 - (4 - 5)))') == 3",
            "evaluate('12*12-11*13') == 1",
        ],
    },
    {
        "id": "fewest_coins",
        "prompt": (
            "Write fewest_coins(coins, amount), which returns how few coins of the given values make up the "
            "amount, each as often as needed, or -1 if none do. Amounts are up to 10000."
        ),
        "entry_point": "fewest_coins",
        "examples": ["fewest_coins([1, 5, 10], 17) == 4", "fewest_coins([2], 3) == -1"],
        "tests": [
            "fewest_coins([1], 0) == 0",
            "fewest_coins([4, 3, 1], 6) == 2",
            "fewest_coins([7, 9], 5) == -1",
            "fewest_coins([186, 419, 83, 408], 6249) == 20",
            "fewest_coins([5, 2], 9999) == 2001",
        ],
    },
    {
        "id": "grid_steps",
        "prompt": (
            "Write grid_steps(grid): grid is a list of strings of the same length, '#' is a wall and '.' is "
            "free. Return the smallest number of steps from the top left to the bottom right, going up, down, "
            "left or right, or -1 if there is no way. Both corners may be walls; then there is none."
        ),
        "entry_point": "grid_steps",
        "examples": ["grid_steps(['..', '#.']) == 2"],
        "tests": [
            "grid_steps(['.']) == 0",
            "grid_steps(['#']) == -1",
            "grid_steps(['.#', '#.']) == -1",
            "grid_steps(['...', '.#.', '...']) == 4",
            "grid_steps(['.#...', '.#.#.', '...#.']) == 10",
            "grid_steps(['.' * 40] * 40) == 78",
        ],
    },
    {
        "id": "word_count",
        "prompt": (
            "The input is some text. Print each of its words in lower case with how often it is there, as in "
            "'the 2', one to a line: the most frequent first, those equally frequent in alphabetical order. A "
            "word is a run of letters; everything else only separates words."
        ),
        "examples": [{"stdin": "The cat. The hat!\n", "stdout": "the 2\ncat 1\nhat 1\n"}],
        "tests": [
            {"stdin": "one\n", "stdout": "one 1\n"},
            {"stdin": "b a b\nA, c; a\n", "stdout": "a 3\nb 2\nc 1\n"},
            {"stdin": "x1y2x\n", "stdout": "x 2\ny 1\n"},
            {"stdin": "it's\n", "stdout": "it 1\ns 1\n"},
            {"stdin": "do-re-mi Do RE do\n", "stdout": "do 3\nre 2\nmi 1\n"},
        ],
    },
    {
        "id": "bank_ledger",
        "prompt": (
            "The input has one command to a line: 'deposit NAME AMOUNT', 'withdraw NAME AMOUNT' or 'transfer "
            "FROM TO AMOUNT'. Amounts are positive integers and accounts begin with 0. A command that would "
            "make an account negative changes nothing and prints 'refused'. At the end print 'NAME BALANCE' for "
            "each account that was named by a command, sorted by name, also by one that was refused."
        ),
        "examples": [
            {"stdin": "deposit ann 5\ntransfer ann bob 2\nwithdraw bob 3\n", "stdout": "refused\nann 3\nbob 2\n"}
        ],
        "tests": [
            {"stdin": "deposit a 1\n", "stdout": "a 1\n"},
            {"stdin": "withdraw a 1\n", "stdout": "refused\na 0\n"},
            {"stdin": "deposit b 7\ndeposit a 2\nwithdraw b 7\n", "stdout": "a 2\nb 0\n"},
            {"stdin": "transfer a b 1\ndeposit a 1\ntransfer a b 1\n", "stdout": "refused\na 0\nb 1\n"},
            {"stdin": "deposit a 9\ntransfer a a 9\ntransfer a a 10\n", "stdout": "refused\na 9\n"},
        ],
    },
)
