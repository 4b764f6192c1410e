NAMES = [
    *("db-2026-01-29.dump", "db-2026-01-30.dump", "db-2025-12-31.dump", "db-2026-02-01.dump"),
    *("mail-2024-02-29.dump", "mail-2026-01-01.dump", "README", "db-latest.dump", "db-2026-01-31.dump.part"),
]


def rotated(run, folder, count):
    """Run the program on a new folder; return what it printed, and what is left."""
    made = run(f"mkdir -p '{folder}/db-2020-01-01.dump' && cd '{folder}' && touch {' '.join(NAMES)}")
    assert made.exit_code == 0, made.stderr
    done = run(f"sh rotate.sh '{folder}' {count}")
    left = run(f"ls '{folder}'").stdout.split()
    return done, sorted({*NAMES, "db-2020-01-01.dump"} - set(left))


def test_the_newest_of_each_name_are_kept(run):
    done, gone = rotated(run, "two of each", 2)
    assert gone == ["db-2025-12-31.dump", "db-2026-01-29.dump"]
    assert done.stdout.split() == gone
    done, gone = rotated(run, "one-of-each", 1)
    assert gone == ["db-2025-12-31.dump", "db-2026-01-29.dump", "db-2026-01-30.dump", "mail-2024-02-29.dump"]
    assert (done.stdout.split(), done.exit_code) == (gone, 0)


def test_where_there_are_no_more_than_that_nothing_goes(run):
    done, gone = rotated(run, "many", 10)
    assert (done.stdout, done.exit_code, gone) == ("", 0, [])


def test_wrong_arguments_remove_nothing(run):
    assert len(rotated(run, "right", "1")[1]) == 4
    for count in ("0", "-1", "two", "1.5", "''"):
        done, gone = rotated(run, "wrong", count)
        assert (done.exit_code, gone) == (2, []), count
    assert run("sh rotate.sh no-such-folder 1").exit_code == 2
    assert run("sh rotate.sh").exit_code == 2
