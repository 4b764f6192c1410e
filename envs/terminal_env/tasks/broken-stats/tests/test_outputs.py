def stats(run, *lines):
    return run("python3 stats.py", stdin="".join(f"{line}\n" for line in lines))


def test_it_works_for_an_even_number_of_them(run):
    assert stats(run, 5, 2, 1, 2).stdout == "mean 2.50\nmedian 2.00\nmode 2\n"
    assert stats(run, 9, 4, 4, 1, 8, 10).stdout == "mean 6.00\nmedian 6.00\nmode 4\n"


def test_it_works_for_an_odd_number_in_any_order(run):
    assert stats(run, 30, -10, 7).stdout == "mean 9.00\nmedian 7.00\nmode -10\n"


def test_it_works_for_decimal_numbers_and_empty_lines(run):
    assert stats(run, "1.5", "", "2.25", "1.5", "").stdout == "mean 1.75\nmedian 1.50\nmode 1.5\n"


def test_of_several_modes_the_least_is_printed(run):
    assert stats(run, 9, 10, 9, 3, 10).stdout.endswith("mode 9\n")


def test_without_numbers_it_says_so(run):
    nothing = stats(run, "", "")
    assert (nothing.stdout, nothing.exit_code) == ("no numbers\n", 1)
