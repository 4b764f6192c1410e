"""Figures and their error."""

import itertools
import math

import pytest

from openenv.cli.eval_report import shown
from openenv.evals.results import EpisodeResult, Report
from openenv.evals.statistics import _student, mean_of_groups, pass_at_k, rate_of_groups


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (999, 1.962)],
)
def test_the_quantiles_of_student_are_those_of_the_tables(freedom, quantile):
    assert _student(freedom) == pytest.approx(quantile, rel=0.01)


def test_the_mean_is_that_of_the_seeds_and_its_interval_as_wide_as_their_number_says():
    assert mean_of_groups([]) is None
    assert mean_of_groups([[2.0]]) == (2.0, None, None)
    once = mean_of_groups([[0.0], [1.0], [2.0]])
    assert once == pytest.approx((1.0, 1 - 4.303 / math.sqrt(3), 1 + 4.303 / math.sqrt(3)), abs=0.01)
    assert mean_of_groups([[0.0] * 9, [1.0] * 9, [2.0] * 9]) == once  # the same seed again tells nothing new
    assert mean_of_groups([[0.0, 1.0, 2.0]]) == once


def test_a_rate_has_an_interval_at_its_ends_too():
    rate, low, high = rate_of_groups([[True]] * 10)
    assert (rate, high) == (1.0, 1.0)
    assert low == pytest.approx(0.722, abs=0.001)
    assert rate_of_groups([[False]] * 10)[:2] == (0.0, 0.0)


def test_pass_at_k_is_the_share_of_all_choices_of_k_in_which_one_succeeds():
    for n, k in [(1, 1), (4, 1), (4, 2), (4, 4), (7, 3)]:
        for successes in range(n + 1):
            group = [place < successes for place in range(n)]
            chosen = [any(one) for one in itertools.combinations(group, k)]
            assert pass_at_k([group], k) == pytest.approx(sum(chosen) / len(chosen))
    assert pass_at_k([[True, False]], 3) is None
    assert pass_at_k([[True, False], [False]], 2) == 1.0  # a seed with too few is left out


def test_the_report_says_over_how_many_seeds_pass_at_k_is_taken():
    episodes = [EpisodeResult("e", seed, sample, reward=1.0) for seed in range(3) for sample in range(2)]
    episodes[5] = EpisodeResult("e", 2, 1, status="infra_fault", cause="endpoint_slow")
    report = Report(1.0, (1, 2, 3), episodes)
    told = report.summary()
    assert (told["seeds"], told["pass_at_k_seeds"]) == (3, {"1": 3, "2": 2, "3": 0})
    lines = shown(report).splitlines()
    assert {
        "pass@1    1, over 3 of 3 seeds",
        "pass@2    1, over 2 of 3 seeds",
        "pass@3    -, over 0 of 3 seeds",
    } <= set(lines)


def test_what_broke_is_counted_apart_and_never_as_0():
    episodes = [
        EpisodeResult("e", 0, 0, reward=1.0, status="terminated", turns=2),
        EpisodeResult("e", 0, 1, status="infra_fault", cause="endpoint_slow"),
        EpisodeResult("e", 1, 0, reward=None, status="truncated", cause="max_turns"),
        EpisodeResult("e", 2, 0, reward=0.5, status="terminated"),
    ]
    report = Report(1.0, (1,), episodes)
    told = report.summary()
    assert (told["episodes"], told["counted"], told["graded"]) == (4, 3, 2)
    assert told["reward"]["value"] == 0.75
    assert told["success"]["value"] == pytest.approx(1 / 3)
    assert told["faults"] == {"endpoint_slow": 1}
    assert [one["success"] for one in report.as_data()["episodes"]] == [True, None, False, False]
