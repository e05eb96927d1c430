"""BM25 and passages: which of a text's pieces speak of what a question asks, and which sentence bears an answer out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcli.text import bm25, passages
from lmcli.text.bm25 import Index, is_unspaced, stem, terms
from lmcli.text.documents import Document


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("one", "other"),
    [("Café", "cafe"), ("ＡＢＣ", "abc"), ("cities", "city"), ("released", "releases"), ("stopped", "stopping"),
     ("Straße", "STRASSE"), ("moved", "moving"), ("naïve", "naive")],
)  # fmt: skip
def test_one_word_in_two_forms_is_one_term(one: str, other: str) -> None:
    assert list(terms(one)) == list(terms(other))


@pytest.mark.parametrize(("one", "other"), [("bus", "bu"), ("glass", "glas"), ("sing", "s"), ("red", "r")])
def test_an_ending_that_is_none_stays(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_scripts_without_spaces_give_pairs_of_characters() -> None:
    assert list(terms("特斯拉在1943年去世。")) == ["特斯", "斯拉", "拉在", "1943", "年去", "去世"]
    assert list(terms("猫 和 dog")) == ["猫", "和", "dog"]
    assert is_unspaced("猫")
    assert not is_unspaced("d")


def test_scores_follow_the_formula() -> None:
    index = Index(["red fox red", "blue fox", "blue whale blue whale sea"])
    rarity = math.log(1 + (3 - 1 + 0.5) / 1.5)
    expected = rarity * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / (10 / 3)))
    assert index.scores("red") == [pytest.approx(expected), 0, 0]


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    index = Index(["the fox sleeps", "the dog sleeps", "the cat sleeps", "a quiet house"])
    scores = index.scores("sleeps cat")
    assert max(scores) == scores[2]
    assert scores[3] == 0


def test_a_long_passage_must_say_more() -> None:
    short, long = Index(["the fox", "the fox " + "and so on " * 30]).scores("fox")
    assert short > long > 0


def test_no_passages_and_no_words_are_no_error() -> None:
    assert Index([]).scores("fox") == []
    assert Index(["…", "?"]).scores("fox") == [0, 0]


# --- passages -------------------------------------------------------------------------------------------------------

NOTES = Document("notes.txt", "The office is in Utrecht.\nMarta wrote the scheduler in four weeks.\r\nIt rained.\n" * 1)
LETTER = Document("letter.txt", "Dear Marta,\n\nthe budget for 2021 was 48,000 euros. The bakery closed.\n")


@given(st.text("ab. \n。我", max_size=200), st.integers(1, 9))
def test_passages_are_the_whole_text_in_its_places(text: str, size: int) -> None:
    pieces = passages.cut([Document(None, text)], size, len)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces)][: len(pieces)]


def test_the_best_passages_are_chosen_in_the_order_of_the_text() -> None:
    cut = passages.cut([NOTES, LETTER], 8, words)
    chosen = passages.choose(cut, "What was the budget, and who wrote the scheduler?", 2)
    assert ["scheduler" in chosen[0].passage.text, "budget" in chosen[1].passage.text] == [True, True]


def test_passages_keep_to_the_room_there_is() -> None:
    cut = passages.cut([NOTES, LETTER], 8, words)
    chosen = passages.choose(cut, "the budget and the scheduler", 9, 12, words)
    assert sum(words(one.passage.text) for one in chosen) <= 12
    assert chosen


def test_a_question_without_a_word_of_the_text_gets_its_beginning() -> None:
    cut = passages.cut([NOTES, LETTER], 8, words)
    chosen = passages.choose(cut, "Wer?", 2)
    assert [one.passage for one in chosen] == cut[:2]
    assert not any(one.score for one in chosen)


def test_the_sentence_of_an_answer_is_found_with_its_place() -> None:
    quote = passages.supporting(passages.whole([NOTES, LETTER]), "How large was it?", "About 48,000 euros in 2021")
    assert quote is not None
    assert quote.text == "the budget for 2021 was 48,000 euros."
    assert LETTER.text[quote.start : quote.end] == quote.text
    assert (quote.file, quote.line) == ("letter.txt", 3)
    assert 0.5 < (quote.score or 0) < 1


def test_lines_are_counted_whatever_ends_them() -> None:
    text = "a\r\nb\rc\nd"
    assert [passages.span(Document(None, text), text.index(c), text.index(c) + 1, None).line for c in "abcd"] == [
        1, 2, 3, 4,
    ]  # fmt: skip


def test_an_answer_of_other_words_has_no_sentence() -> None:
    assert passages.supporting(passages.whole([NOTES]), "Who wrote the scheduler?", "Nobody") is None


def test_a_chinese_answer_finds_its_sentence() -> None:
    text = "特斯拉住在纽约的酒店里。特斯拉于1943年1月7日去世。他的名字成为单位。"
    quote = passages.supporting(passages.whole([Document(None, text)]), "特斯拉是哪一年去世的？", "1943年")
    assert quote is not None
    assert quote.text == "特斯拉于1943年1月7日去世。"


def test_an_answer_over_two_sentences_is_quoted_with_both() -> None:
    start = LETTER.text.index("euros")
    answer = passages.span(LETTER, start, LETTER.text.index("closed"), 0.5)
    quote = passages.around(LETTER, answer)
    assert quote.text == "the budget for 2021 was 48,000 euros. The bakery closed."


def test_terms_of_a_query_may_have_weights() -> None:
    index = Index(["red fox", "blue fox"])
    assert index.scores({"red": 1.0, "blue": 2.0})[1] == 2 * index.scores("red")[0]
    assert index.shares({"red": 1.0, "blue": 1.0}) == [pytest.approx(0.5)] * 2
    assert list(bm25.terms("blue")) == ["blue"]
