"""Segmentation: nothing is lost, and a full stop is not always an end."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcli.errors import InputTooLong
from lmcli.text.segment import lines, paragraphs, parts, sentences

CHUNKS = (
    "word|Mr|U.S|.|…|!|?|。|！|；|”|」|)|（| |  |\n|\r\n|\r|\t|3.14|中文|e.g.|,|，|http://a.b/c?d=e|😀|👩\u200d👧|é|\u2028|"
    "\x0b|1.|-|The|the"
)
PIECES = st.sampled_from(CHUNKS.split("|"))
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))


def words(text: str) -> int:
    """Tokens of a text: a word or a CJK character each."""
    return len(re.findall(r"[\u3040-\u9fff]|[^\s\u3040-\u9fff]+", text))


@given(TEXTS)
def test_sentences_lose_nothing(text):
    pieces = sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(TEXTS)
def test_paragraphs_lose_nothing(text):
    pieces = paragraphs(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(TEXTS)
def test_lines_lose_nothing(text):
    assert "".join(lines(text)) == text


@given(TEXTS, st.integers(4, 40))
def test_parts_lose_nothing_and_fit(text, limit):
    pieces = parts(text, limit, len)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


@given(TEXTS)
def test_a_newline_always_ends_a_sentence(text):
    for piece in sentences(text):
        body = piece.rstrip() if piece.strip() else ""
        assert not re.search(r"[\r\n]", body.lstrip())


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith met Dr. Jones at St. Mary's.",
        "It costs $3.50, i.e. nothing, e.g. for you.",
        "She lives in the U.S. with J. R. R. Tolkien.",
        "Use v2.0.1 from https://example.org/a.b?c=d!e for it.",
        "“Stop!” he said.",
        "Well... maybe not.",
        "Er kam am 3. Oktober z. B. nach Berlin.",
        "See Fig. 3 and Vol. 2, pp. 4 ff.",
        "1. A list mark opens this",
        "「行く。」と言った。",
        "圆周率是3.14左右",
        "Smith et al. Nature 2020",
        "On Sept. 11 and Jan. 3 at 5 p.m. sharp.",
    ],
)
def test_no_sentence_ends_inside(text):
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "One.| Two!| Three?| Four… |Five.",
        "He left at 5 p.m. |Then it rained.",
        "I met J. R. Ewing. |He waved.",
        'She said "go." |We went.',
        "(Really.) |Yes.",
        "你好。|我很好！|你呢？|分号；|“引号。”|（括号。）|等等……|完了。",
        "今天很好.|我们走吧!|好吗?|好",
        "真的吗？！|真的。",
        "Title\n|A line without a mark\r\n|and another\r|end",
        "First.\n\n\n|Second.",
        "  Indented. |Next.  \n|End",
        "Wait... |The end. |20 people came.",
        "यह एक वाक्य है। |यह दूसरा है।",
        "هل أنت بخير؟ |نعم.",
    ],
)
def test_sentences_end_where_they_should(text):
    text = text.replace(".| ", ". |").replace("!| ", "! |").replace("?| ", "? |")
    assert sentences(text.replace("|", "")) == text.split("|")


def test_paragraphs_end_after_blank_lines():
    assert paragraphs("\n\na\nb\n\n \nc\r\n\r\nd") == ["\n\na\nb\n\n \n", "c\r\n\r\n", "d"]


def test_a_paragraph_that_fits_is_not_cut():
    text = "one two three.\n\nfour five. six.\n\nseven."
    assert parts(text, 4, words) == ["one two three.\n\n", "four five. six.\n\nseven."]


def test_parts_are_of_similar_size():
    text = "".join(f"Sentence number {n}. " for n in range(101))
    sizes = [words(part) for part in parts(text, 100, words)]
    assert len(sizes) == 4
    assert max(sizes) - min(sizes) < 12


def test_a_long_sentence_is_cut_at_clauses_then_words_then_characters():
    assert parts("alpha beta, gamma delta", 2, words) == ["alpha beta, ", "gamma delta"]
    assert parts("alpha beta gamma", 2, words) == ["alpha beta ", "gamma"]
    assert parts("abcdefgh", 3, len) == ["ab", "cd", "ef", "gh"]


def test_no_cut_falls_inside_a_joined_emoji_or_before_an_accent():
    family = "👩‍👩‍👧"
    assert parts(family * 4, len(family), len) == [family] * 4
    assert all(not piece.startswith("\u0301") for piece in parts("e\u0301" * 7, 4, len))


def test_a_character_that_does_not_fit_is_refused():
    with pytest.raises(InputTooLong):
        parts("ab", 0, len)


def test_a_sum_that_promised_too_little_is_checked():
    def greedy(text: str) -> int:  # Joined pieces have more tokens than they had apart.
        return len(text) + text.count(". ") ** 2

    text = "".join(f"A{n}. " for n in range(50))
    assert all(greedy(part) <= 30 for part in parts(text, 30, greedy))


def test_a_book_is_cut_in_a_second_with_each_sentence_counted_a_few_times():
    book = ("The quick brown fox, e.g. Mr. Reynard, jumped over 3.5 dogs. Then it slept. " * 6 + "\n\n") * 400
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return words(text)

    began = time.perf_counter()
    pieces = parts(book, 500, count)
    assert "".join(pieces) == book
    assert counted < 6 * len(book)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "text", ["Mr. " * 30_000, "a" * 200_000, ". " * 50_000, "。" * 100_000, "\n" * 100_000, "a. b " * 30_000]
)
def test_odd_texts_take_no_longer(text):
    began = time.perf_counter()
    assert "".join(parts(text, 100, len)) == text
    assert time.perf_counter() - began < 10
