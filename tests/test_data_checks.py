"""What is wrong with examples is found before a step is taken, and told with its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from lmcli.data import BrokenRow, Example, Place
from lmcli.data.checks import Checked, Finding, check, raise_errors
from lmcli.errors import InputError
from lmcli.types import Message


def rows(*pairs: tuple[str, str], file: str = "train.csv", languages: tuple[str, str] | None = None) -> list[Example]:
    return [
        Example(text, answer, languages=languages, place=Place(file, line))
        for line, (text, answer) in enumerate(pairs, 2)
    ]


def plenty(*labels: str, count: int = 12) -> list[Example]:
    pairs = [(f"{label} {number}", label) for label in labels for number in range(count)]
    return rows(*pairs, file="more.csv")


def finding(checked: Checked, kind: str) -> Finding:
    found = [one for one in checked.findings if one.kind == kind]
    assert len(found) == 1, checked.findings
    return found[0]


def lines(found: Finding) -> list[int]:
    return [place.line for place in found.places]


GOOD = plenty("good", "bad")


def test_sound_examples_are_all_kept_and_nothing_is_told() -> None:
    validation = rows(("new", "good"), file="dev.csv")
    assert check(GOOD, validation, "classify") == Checked(tuple(GOOD), tuple(validation))


def test_unreadable_rows_are_told_with_the_reason_of_the_first() -> None:
    broken = [BrokenRow(Place("a.csv", line), "it is not JSON") for line in (3, 5)]
    found = finding(check(GOOD, [], "classify", broken), "unreadable")
    assert found.message == "2 rows left out, unreadable (it is not JSON): a.csv lines 3, 5"
    assert (found.severity, found.dropped) == ("warning", True)


def test_empty_texts_and_answers_are_left_out_of_both_sides() -> None:
    bad = rows((" ", "good"), ("x", ""))
    checked = check([*GOOD, *bad], rows(("", "good"), ("y", "bad"), file="dev.csv"), "classify")
    found = finding(checked, "empty")
    assert found.message == "3 rows left out, without a text or a label: train.csv lines 2, 3; dev.csv line 2"
    assert (len(checked.train), len(checked.validation)) == (len(GOOD), 1)


def test_a_message_names_the_first_five_places_and_counts_the_others() -> None:
    found = finding(check([*GOOD, *rows(*[("", "good")] * 1500)], [], "classify"), "empty")
    assert found.message.endswith(": train.csv lines 2, 3, 4, 5, 6; and 1,495 more")
    assert len(found.places) == 1500


def test_of_a_text_with_two_labels_the_more_frequent_is_kept_and_of_a_tie_none() -> None:
    bad = rows(("Nice  film", "good"), ("nice film", "bad"), ("tie", "good"), ("tie", "bad"), ("nice film", "bad"))
    checked = check([*GOOD, *bad], [], "classify")
    assert lines(finding(checked, "conflict")) == [2, 4, 5]
    assert [one.answer for one in checked.train if one.text.casefold() == "nice film"] == ["bad"]


def test_duplicates_are_left_out_but_for_the_first_whatever_their_case_and_spaces() -> None:
    bad = rows(("The End", "good"), ("the  end ", "good"), ("THE END", "good"))
    assert lines(finding(check([*GOOD, *bad], [], "classify"), "duplicate")) == [3, 4]


def test_a_file_that_is_named_twice_is_given_more_weight_and_no_duplicate() -> None:
    assert not check([*GOOD, *GOOD], [], "classify").findings


def test_what_is_measured_by_is_not_trained_on() -> None:
    train = [*GOOD, *rows(("Seen before", "good"))]
    checked = check(train, rows(("seen before", "bad"), file="dev.csv"), "classify")
    assert lines(finding(checked, "overlap")) == [2]
    assert len(checked.validation) == 1


def test_a_translation_that_is_measured_one_way_is_not_trained_on_the_other_way() -> None:
    train = rows(("门", "door"), ("窗", "window"), languages=("zh", "en"))
    validation = rows(("Door", "门"), file="dev.tsv", languages=("en", "zh"))
    assert lines(finding(check(train, validation, "translate"), "overlap")) == [2]


def test_pairs_overlap_only_where_both_texts_are_the_same() -> None:
    train = [Example("premise", "yes", second=f"claim {n}", place=Place("t", n)) for n in range(12)]
    train += [Example(f"other {n}", "no", second="x", place=Place("t", 20 + n)) for n in range(12)]
    checked = check(train, [Example("premise", "yes", second="claim 3", place=Place("d", 1))], "classify")
    assert lines(finding(checked, "overlap")) == [3]


def test_nothing_to_train_on_is_an_error() -> None:
    checked = check(rows(("", "")), [], "summarize")
    with pytest.raises(InputError, match="no example is left to train on"):
        raise_errors(checked.findings)


@pytest.mark.parametrize(
    ("train", "validation", "kind", "message", "hint"),
    [
        (plenty("good"), [], "one label", "all 12 rows have the label 'good'", "--answer-field"),
        (
            [Example(f"t{n}", f"label {n}") for n in range(30)],
            [],
            "no classes",
            "30 labels in 30 rows",
            "--answer-field",
        ),
        (GOOD, rows(("x", "goood")), "unknown label", "1 row of validation .*'goood': train.csv line 2", "'good'"),
    ],
)
def test_labels_that_cannot_be_learned_stop_the_run(
    train: Sequence[Example], validation: Sequence[Example], kind: str, message: str, hint: str
) -> None:
    found = finding(check(train, validation, "classify"), kind)
    with pytest.raises(InputError, match=message) as caught:
        raise_errors([found])
    assert hint in str(caught.value.hint)


def test_rare_unequal_and_twice_spelled_labels_are_told_and_kept() -> None:
    train = [*plenty("good", count=150), *plenty("bad", count=12), *rows(("x", "Bad"))]
    checked = check(train, [], "classify")
    assert len(checked.train) == len(train)
    assert "'bad' and 'Bad'" in finding(checked, "spelling").message
    assert finding(checked, "rare").message.endswith("'Bad' (1)")
    assert "--class-weights" in str(finding(checked, "imbalance").hint)
    raise_errors(checked.findings)


ZH = ("en", "zh")
SOUND = [("The meeting begins at three.", "会议三点开始。"), ("I like this film.", "我喜欢这部电影。")]


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (("See the page about this.", "See the page on this."), "script"),
        (("This text stays here.", "This text stays  here."), "script"),
        (("Hello", "你好，" * 40), "ratio"),
        (("A sentence with a great many words in it, over and over and over again.", "好"), "ratio"),
    ],
)
def test_pairs_that_are_no_translations_are_left_out(pair: tuple[str, str], kind: str) -> None:
    checked = check(rows(*SOUND, pair, languages=ZH), [], "translate")
    assert lines(finding(checked, kind)) == [4]
    assert len(checked.train) == 2


def test_what_a_user_sees_otherwise_is_told_and_stays() -> None:
    pair = ("class", "a rather long explanation of what is meant by it")
    train = rows(("Guten Tag", "Good day"), pair, pair, ("", "x"), languages=("de", "en"))
    checked = check(train, [], "translate", keep=["ratio", "empty"])
    assert len(checked.train) == 2
    assert finding(checked, "ratio").message == (
        "2 rows kept, one side more than 6 times as long as the other: train.csv lines 3, 4"
    )
    assert not finding(checked, "ratio").dropped
    assert finding(checked, "empty").dropped  # of that nothing can be learned


@pytest.mark.parametrize("pair", [("ASP.NET Core", "ASP.NET Core"), ("3.14", "3.14"), ("OK", "好的")])
def test_names_and_numbers_may_stay_what_they_are(pair: tuple[str, str]) -> None:
    assert not check(rows(*SOUND, pair, languages=ZH), [], "translate").findings


def test_the_same_sentence_on_both_sides_is_no_translation_where_the_script_is_one() -> None:
    pair = ("Das ist ein ganzer Satz.", "das ist ein  ganzer Satz.")
    checked = check(rows(("Guten Tag", "Good day"), pair, languages=("de", "en")), [], "translate")
    assert lines(finding(checked, "untranslated")) == [3]


def test_columns_the_wrong_way_round_stop_the_run() -> None:
    checked = check(rows(*[(zh, en) for en, zh in SOUND], languages=ZH), [], "translate")
    with pytest.raises(InputError, match="source English, target Chinese"):
        raise_errors(checked.findings)


def chat(line: int, *turns: tuple[str, str]) -> Example:
    return Example(messages=tuple(Message(role, text) for role, text in turns), place=Place("c.jsonl", line))  # type: ignore[arg-type]


def test_conversations_without_an_answer_or_out_of_order_are_left_out() -> None:
    ask, say = ("user", "q"), ("assistant", "a")
    train = [
        chat(1, ask, say), chat(2, ("system", "s"), ask, say, ("user", "thanks")), chat(3, ask), chat(4, say, ask, say),
        chat(5, ask, ("user", "more"), say), chat(6, ask, say, ("system", "s")), chat(7, ask, ("assistant", " ")),
    ]  # fmt: skip
    checked = check(train, [], "chat")
    assert [one.place.line for one in checked.train] == [1, 2]
    assert lines(finding(checked, "no answer")) == [3, 7]
    assert lines(finding(checked, "turns")) == [4, 5, 6]


def words(text: str) -> int:
    return len(text.split())


def test_what_would_be_cut_is_told_with_its_share_and_the_longest() -> None:
    train = rows(*[("a short text", "s")] * 97, ("word " * 30, "s"), ("word " * 50, "s"), ("fine", "s " * 40))
    train = [
        Example(f"{n} {one.text}", one.answer, references=(one.answer,), place=one.place) for n, one in enumerate(train)
    ]
    found = finding(check(train, [], "summarize", count=words, max_length=20, possible=64), "length")
    assert found.message == (
        "longer than 20 tokens, and cut there: 3 of 100 examples (3 %); the longest has 51: train.csv, line 100"
    )
    assert sorted(lines(found)) == [99, 100, 101]
    assert found.hint == "--max-length 51 takes more"
    whole = finding(check(train, [], "summarize", count=words, max_length=20, possible=20), "length")
    assert whole.hint == "the checkpoint takes no more"


def test_of_many_examples_the_share_is_an_estimate() -> None:
    train = [Example(f"{n} " + "word " * (40 if n % 10 == 0 else 3), f"{n}", references=("s",)) for n in range(9000)]
    found = finding(check(train, [], "summarize", count=words, max_length=20), "length")
    share = re.search(r"about (.*) % of the examples", found.message)
    assert share
    assert float(share[1]) == pytest.approx(10, abs=1.5)


def test_texts_that_are_to_be_continued_are_cut_nowhere() -> None:
    assert not check([Example("word " * 99)], [], "generate", count=words, max_length=9).findings


def test_several_errors_are_counted() -> None:
    errors = [Finding("a", "error", "first"), Finding("b", "warning", "w"), Finding("c", "error", "second")]
    with pytest.raises(InputError, match=r"first \(and 1 more\)"):
        raise_errors(errors)
