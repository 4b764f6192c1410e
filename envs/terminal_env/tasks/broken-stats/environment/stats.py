"""Prints mean, median and mode of the numbers on standard input."""

import sys


def median(numbers):
    middle = len(numbers) // 2
    return numbers[middle]


def mode(words):
    best = None
    for word in words:
        if best is None or words.count(word) >= words.count(best):
            best = word
    return best


def main():
    words = [line.strip() for line in sys.stdin]
    numbers = [int(word) for word in words]
    mean = sum(numbers) // len(numbers)
    print(f"mean {mean:.2f}")
    print(f"median {median(numbers):.2f}")
    print(f"mode {mode(words)}")


if __name__ == "__main__":
    main()
