"""Parts of long texts begin where the text itself does, and a model's loops are found and cut."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcli.errors import InputTooLong
from lmcli.text.loops import repetition, without_loops
from lmcli.text.sections import is_heading, sections


def count(text: str) -> int:
    return len(re.findall(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", text))


def chapter(name: str, words: int) -> str:
    sentence = "It was a cold day in the town. "
    return f"{name}\n\n" + "\n\n".join([sentence * 2] * (words // 16)) + "\n\n"


@settings(deadline=None)
@given(st.text("ab .\n#中。", max_size=200), st.integers(2, 20))
def test_the_sections_joined_are_the_text_and_none_is_too_long(text, limit):
    found = sections(text, limit, count)
    assert "".join(found) == text
    assert all(count(part) <= limit for part in found)


def test_a_text_that_fits_is_one_section():
    text = chapter("Chapter 1", 100)
    assert sections(text, 400, count) == [text]


@pytest.mark.parametrize("names", [
    ["Chapter I", "Chapter II", "CHAPTER III"], ["# One", "## Two", "# Three"],
    ["第一章 开始", "第二章 中间", "第三章 结束"], ["THE SHIP", "THE STORM", "THE SHORE"],
])  # fmt: skip
def test_a_section_begins_at_a_chapter_where_one_is_near(names):
    text = "".join(chapter(name, words) for name, words in zip(names, (130, 170, 140), strict=True))
    found = sections(text, 220, count)
    assert [part.splitlines()[0] for part in found] == names


def test_without_headings_it_begins_at_a_paragraph():
    text = "".join(f"Paragraph {n} has words. " * 5 + "\n\n" for n in range(30))
    assert all(part.endswith("\n\n") for part in sections(text, 100, count))


def test_a_heading_is_not_left_behind_by_what_follows_it():
    text = "".join(f"## Part {n}\n\n" + "Some words stand here. " * 12 + "\n\n" for n in range(9))
    assert not any(is_heading(part.strip().splitlines()[-1]) for part in sections(text, 120, count))


def test_broken_lines_are_cut_between_sentences():
    line = "the words of this sentence go on\nand on over the line until they end.\n"
    found = sections(line * 40, 100, count)
    assert len(found) > 4
    assert all(part.endswith("end.\n") for part in found)


def test_a_character_that_does_not_fit_is_refused():
    with pytest.raises(InputTooLong):
        sections("word", 1, lambda text: 2 * len(text))


@pytest.mark.parametrize(("line", "heading"), [
    ("# Title", True), ("CHAPTER 4", True), ("第十二回 宴桃园", True), ("Act II", True), ("THE END OF IT", True),
    ("I AM HERE.", False), ("A plain line", False), ("#hashtag", False), ("", False), ("OK", False),
    ("The act ii was long", False), ("A" * 90, False),
])  # fmt: skip
def test_headings_are_told_from_lines(line, heading):
    assert is_heading(line) is heading


@pytest.mark.parametrize(("text", "once"), [
    ("He saw the king. " * 20, "He saw the king."),
    ("A good start. A saw the king. " + "B saw the king. " * 10, "A good start. A saw the king. B saw the king."),
    ("and so on " * 9, "and so on"),
    ("国王来了。" * 12, "国王来了。"),
    ("".join(f"{n}. God made the light.\n" for n in range(1, 30)), "1. God made the light."),
    ("- One thing happened here.\n- Another thing came.\n" * 5, "- One thing happened here.\n- Another thing came."),
    ("It began. " + "They went home again. " * 6 + "Then it ended.", "It began. They went home again. Then it ended."),
])  # fmt: skip
def test_a_loop_is_said_once(text, once):
    assert without_loops(text) == once


@pytest.mark.parametrize("text", [
    "A fine text without any loops at all, of course.", "Yes, yes, yes!", "", "ha ha ha",
    "Revenue rose 5% in 2001. Revenue rose 6% in 2002. Revenue rose 7% in 2003. Revenue rose 8% in 2004.",
    "The House met. The Senate met. The House voted. The Senate voted. The House adjourned.",
])  # fmt: skip
def test_what_is_no_loop_stays(text):
    assert without_loops(text) == text
    assert not (found := repetition(text)) or not found.sure


def test_the_end_of_a_stream_is_suspected_first_and_then_sure():
    said = "The king went home with his men. "
    assert repetition("It was day. " + said) is None
    suspected = repetition("It was day. " + said + "The king went home with his")
    assert suspected
    assert (suspected.start, suspected.sure) == (len("It was day. " + said), False)
    sure = repetition("It was day. " + said * 3)
    assert sure
    assert sure.sure
