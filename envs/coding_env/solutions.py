"""A solution of each task that comes with the environment, for the oracle and for tests."""

SOLUTIONS = {
    "second_largest": """
def second_largest(numbers):
    different = sorted(set(numbers))
    return different[-2] if len(different) > 1 else None
""",
    "run_lengths": """
def run_lengths(text):
    runs = []
    for character in text:
        if runs and runs[-1][0] == character:
            runs[-1] = (character, runs[-1][1] + 1)
        else:
            runs.append((character, 1))
    return runs
""",
    "roman_numeral": """
def roman_numeral(number):
    values = [1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1]
    signs = ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"]
    text = ""
    for value, sign in zip(values, signs):
        text += sign * (number // value)
        number %= value
    return text
""",
    "balanced_brackets": """
def balanced_brackets(text):
    pairs = {")": "(", "]": "[", "}": "{"}
    opened = []
    for position, character in enumerate(text):
        if character in "([{":
            opened.append(position)
        elif character in pairs:
            if not opened or text[opened[-1]] != pairs[character]:
                return position
            opened.pop()
    return opened[-1] if opened else -1
""",
    "merge_intervals": """
def merge_intervals(intervals):
    merged = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged
""",
    "rotate_matrix": """
def rotate_matrix(rows):
    return [list(column) for column in zip(*rows[::-1])]
""",
    "anagram_groups": """
def anagram_groups(words):
    groups = {}
    for word in set(words):
        groups.setdefault("".join(sorted(word)), []).append(word)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
""",
    "evaluate": """
def evaluate(text):
    signs = [character for character in text if character != " "]

    def number():
        digits = ""
        while signs and signs[0].isdigit():
            digits += signs.pop(0)
        return int(digits)

    def factor():
        if signs[0] != "(":
            return number()
        signs.pop(0)
        value = total()
        signs.pop(0)
        return value

    def product():
        value = factor()
        while signs and signs[0] == "*":
            signs.pop(0)
            value *= factor()
        return value

    def total():
        value = product()
        while signs and signs[0] in "+-":
            value = value + product() if signs.pop(0) == "+" else value - product()
        return value

    return total()
""",
    "fewest_coins": """
def fewest_coins(coins, amount):
    fewest = [0] + [amount + 1] * amount
    for part in range(1, amount + 1):
        for coin in coins:
            if coin <= part:
                fewest[part] = min(fewest[part], fewest[part - coin] + 1)
    return fewest[amount] if fewest[amount] <= amount else -1
""",
    "grid_steps": """
def grid_steps(grid):
    if grid[0][0] == "#" or grid[-1][-1] == "#":
        return -1
    goal = (len(grid) - 1, len(grid[0]) - 1)
    places, seen, steps = [(0, 0)], {(0, 0)}, 0
    while places:
        if goal in places:
            return steps
        reached = []
        for row, column in places:
            for down, right in [(1, 0), (-1, 0), (0, 1), (0, -1)]:
                place = (row + down, column + right)
                inside = 0 <= place[0] <= goal[0] and 0 <= place[1] <= goal[1]
                if inside and place not in seen and grid[place[0]][place[1]] == ".":
                    seen.add(place)
                    reached.append(place)
        places, steps = reached, steps + 1
    return -1
""",
    "word_count": """
import re
import sys
from collections import Counter

counts = Counter(re.findall("[a-z]+", sys.stdin.read().lower()))
for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
    print(word, count)
""",
    "bank_ledger": """
import sys

balances = {}
for line in sys.stdin:
    command, *names, amount = line.split()
    for name in names:
        balances.setdefault(name, 0)
    amount = int(amount)
    if command != "deposit" and balances[names[0]] < amount:
        print("refused")
        continue
    if command != "deposit":
        balances[names[0]] -= amount
    if command != "withdraw":
        balances[names[-1]] += amount
for name in sorted(balances):
    print(name, balances[name])
""",
}
