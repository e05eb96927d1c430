"""The measures of question answering, by the rules of the benchmarks' own scripts."""

import pytest

from lmcli.evaluation.squad import exact_match, f1


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "share"),
    [
        ("The Normans.", "normans", True, 1.0),
        ("in New York", "New York", False, 0.8),
        ("1943", "7 January 1943", False, 0.5),
        ("", "1943", False, 0.0),
        ("the", "a", True, 1.0),
        ("red red", "red", False, 2 / 3),
    ],
)
def test_english_is_measured_in_words(answer: str, reference: str, exact: bool, share: float) -> None:
    assert exact_match(answer, [reference]) is exact
    assert f1(answer, [reference]) == pytest.approx(share)


@pytest.mark.parametrize(
    ("answer", "reference", "exact", "share"),
    [
        ("“疯狂科学家”。", "疯狂科学家", True, 1.0),
        ("1943 年", "1943年", True, 1.0),
        ("是1943年", "1943年", False, 0.8),
        ("科学疯狂家", "疯狂科学家", False, 0.4),  # the longest run counts, not the characters
        ("", "疯狂", False, 0.0),
        ("Nexon公司", "nexon", False, 0.5),
    ],
)
def test_chinese_is_measured_in_characters(answer: str, reference: str, exact: bool, share: float) -> None:
    assert exact_match(answer, [reference], chinese=True) is exact
    assert f1(answer, [reference], chinese=True) == pytest.approx(share)


def test_the_best_of_several_references_counts() -> None:
    assert exact_match("in 1943", ["1943", "in 1943"])
    assert f1("in 1943", ["1944", "1943"]) == pytest.approx(2 / 3)
    assert f1("anything", []) == 0
