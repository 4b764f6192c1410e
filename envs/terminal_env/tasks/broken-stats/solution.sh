cat > stats.py <<'END'
"""Prints mean, median and mode of the numbers on standard input."""

import statistics
import sys

words = [line.strip() for line in sys.stdin if line.strip()]
if not words:
    print("no numbers")
    sys.exit(1)
numbers = [float(word) for word in words]
print(f"mean {statistics.mean(numbers):.2f}")
print(f"median {statistics.median(numbers):.2f}")
print(f"mode {min(words, key=lambda word: (-words.count(word), float(word)))}")
END
printf '1\n2\n2\n5\n' | python3 stats.py
