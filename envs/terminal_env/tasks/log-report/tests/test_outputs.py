from collections import Counter
from pathlib import Path

LINES = [line.split() for log in Path("logs").glob("*.log") for line in log.read_text().splitlines()]


def test_the_requests_are_counted():
    assert len(LINES) == 180, "the logs are not what they were"
    assert Path("requests.txt").read_text().strip() == "180"


def test_the_paths_that_failed_are_listed():
    failed = sorted({path.rstrip('"') for _, _, _, path, status, _ in LINES if int(status) >= 500})
    assert Path("errors.txt").read_text().split() == failed


def test_the_busiest_address_is_named():
    sent = Counter()
    for address, *_, size in LINES:
        sent[address] += int(size)
    assert Path("busiest.txt").read_text().split() == list(map(str, sent.most_common(1)[0]))
