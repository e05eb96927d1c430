"""Confidence intervals and paired tests, against what is known exactly."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from lmcli.evaluation import mcnemar
from lmcli.evaluation.bootstrap import Means, differences, intervals, whole
from lmcli.evaluation.classification import ClassificationScores, measure
from lmcli.evaluation.correlation import CorrelationScores
from lmcli.evaluation.translation import TranslationScores
from lmcli.evaluation.translation import measure as measure_translation


def means(values: list[float]) -> Means:
    return Means(("share",), np.array(values, dtype=float).reshape(-1, 1))


def test_the_interval_of_a_share_is_the_binomials() -> None:
    # 60 of 100: the percentile interval of a binomial with that share reaches from 0.50 to 0.69.
    found = intervals(means([1.0] * 60 + [0.0] * 40), resamples=4000)["share"]
    assert found.low == pytest.approx(0.50, abs=0.011)
    assert found.high == pytest.approx(0.69, abs=0.011)


def test_a_seed_draws_the_same_sets_and_another_others() -> None:
    values = means([Random(1).random() for _ in range(50)])
    assert intervals(values, 200, seed=3) == intervals(values, 200, seed=3)
    values = means([x / 50 for x in range(50)])
    assert intervals(values, 200, seed=3) != intervals(values, 200, seed=4)


def test_one_example_has_no_interval() -> None:
    assert intervals(means([1.0])) == {}
    assert whole(means([1.0])) == {"share": 1.0}
    assert whole(means([])) == {"share": 0.0}


def test_a_resample_has_the_figures_of_the_set_that_it_stands_for() -> None:
    wanted, got = ["a", "a", "b", "b", "c"], ["a", "b", "b", "b", "a"]
    scores = ClassificationScores(wanted, got)
    drawn = [2, 1, 2, 0, 0]  # no c: it is no part of the mean then
    rows = [i for i, count in enumerate(drawn) for _ in range(count)]
    expected = measure([wanted[i] for i in rows], [got[i] for i in rows])
    found = scores.figures(np.array(drawn))
    assert found["accuracy"] == pytest.approx(expected.accuracy)
    assert found["macro_f1"] == pytest.approx(expected.macro_f1)
    assert found["matthews"] == pytest.approx(expected.matthews)


def test_a_resample_of_translations_has_the_bleu_of_that_corpus() -> None:
    wrote = ["the cat sat on the mat", "a dog ran in the park", "we were happy to see them"]
    wanted = [["the cat is on the mat"], ["the dog ran through the park"], ["we were so happy to see them"]]
    found = TranslationScores(wrote, wanted, "en").figures(np.array([0, 2, 1]))
    expected = measure_translation([wrote[1], wrote[1], wrote[2]], [wanted[1], wanted[1], wanted[2]], "en")
    assert found == pytest.approx({"bleu": expected.bleu, "chrf": expected.chrf})


def test_two_that_are_alike_do_not_differ() -> None:
    found = differences(means([1, 0, 1, 1]), means([1, 0, 1, 1]), 200)["share"]
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_difference_on_every_example_is_certain() -> None:
    found = differences(means([0.1] * 50), means([0.3] * 50), 999)["share"]
    assert found.difference == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.2, 0.2))
    assert found.p == pytest.approx(1 / 1000)


def test_the_p_value_of_a_paired_difference_is_that_of_the_normal_test() -> None:
    random = Random(0)
    base = [random.random() for _ in range(400)]
    better = [value + random.gauss(0.02, 0.2) for value in base]
    apart = np.array(better) - np.array(base)
    z = apart.mean() / (apart.std() / math.sqrt(len(apart)))
    found = differences(means(base), means(better), 4000)["share"]
    assert found.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), abs=0.02)
    half = 1.96 * apart.std() / math.sqrt(len(apart))
    assert (found.low, found.high) == pytest.approx((apart.mean() - half, apart.mean() + half), abs=0.003)


def test_one_example_tells_no_difference_from_chance() -> None:
    found = differences(means([0.2]), means([0.5]))["share"]
    assert (found.difference, found.low, found.p) == (pytest.approx(0.3), None, None)


def test_sets_of_unequal_size_are_not_compared() -> None:
    with pytest.raises(ValueError, match="4 examples and 3"):
        differences(means([1, 0, 1, 1]), means([1, 0, 1]))


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 5, 2 / 2**5),
        (1, 7, 2 * (1 + 8) / 2**8),
        (2, 10, 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_mcnemar_counts_only_those_on_which_they_differ(only_first: int, only_second: int, p: float) -> None:
    first = [True] * 9 + [True] * only_first + [False] * only_second + [False] * 4
    second = [True] * 9 + [False] * only_first + [True] * only_second + [False] * 4
    found = mcnemar.compare(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == pytest.approx(p)


def test_mcnemar_of_thousands_is_the_normal_approximation() -> None:
    first, second = [True] * 5200 + [False] * 4800, [False] * 5200 + [True] * 4800
    z = (5200 - 4800 - 1) / math.sqrt(10000)
    assert mcnemar.compare(first, second).p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)


def test_correlations_of_a_resample_are_those_of_the_set_it_stands_for() -> None:
    wanted, got, drawn = [0.5, 3.0, 3.0, 4.5, 1.0], [0.1, 0.9, 0.2, 0.8, 0.2], np.array([2, 0, 3, 1, 1])
    figures = CorrelationScores(wanted, got).figures(drawn)
    first, second = np.repeat(wanted, drawn), np.repeat(got, drawn)
    assert figures["pearson"] == pytest.approx(np.corrcoef(first, second)[0, 1])
    ranks = [[np.mean(np.flatnonzero(np.sort(side) == value)) for value in side] for side in (first, second)]
    assert figures["spearman"] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_numbers_that_are_all_the_same_go_with_nothing() -> None:
    assert CorrelationScores([1, 1], [1, 2]).figures(np.array([1, 1])) == {"pearson": 0, "spearman": 0}
