import csv
import io
import json
import random
from pathlib import Path


def converted(run, table):
    done = run("sh convert.sh", stdin=table)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_is_converted(run):
    example = Path("example.csv").read_text()
    assert converted(run, example) == list(csv.DictReader(io.StringIO(example)))
    assert converted(run, "a,b\n1,2\n") == [{"a": "1", "b": "2"}]


def test_quotes_commas_and_line_breaks_are_kept(run):
    draw = random.Random()
    values = ["".join(draw.choices('ab,"\n ', k=6)) + "." for _ in range(40)]
    rows = [dict(zip("xyz", values[n : n + 3], strict=True)) for n in range(0, 39, 3)]
    table = io.StringIO()
    writer = csv.DictWriter(table, "xyz", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert converted(run, table.getvalue()) == rows


def test_a_table_without_rows_is_an_empty_array(run):
    assert converted(run, "a,b\n") == []
