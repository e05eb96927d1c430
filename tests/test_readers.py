"""Checkpoints that mark answers, most of them on our own encoder, against transformers' models."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_readers as readers
import tiny_translators as encoders
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmcli import engine
from lmcli.checkpoints.checkpoint import read
from lmcli.engine.qa_engine import EncoderReader
from lmcli.engine.spans import Window, answers, cut
from lmcli.engine.transformers_qa import TransformersReader
from lmcli.errors import CheckpointError, InputTooLong
from lmcli.types import LoadOptions

FAMILIES: list[Callable[..., Any]] = [
    encoders.bert, encoders.roberta, encoders.xlm_roberta, encoders.camembert, encoders.distilbert,
]  # fmt: skip
QUESTION = "cat?"
TEXTS = ["The moon. Rain!", "She sat.", "在公园吧。读书"]
LONG = "The cat sat on the mat and looked at the moon. Rain fell all day, but nobody minded it. " * 3
pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, kind: type[Any] = EncoderReader) -> Any:
    loaded = engine.load(read(folder, "tiny"), LoadOptions("cpu", "float32"))
    assert isinstance(loaded, kind)
    return loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_spans_and_probabilities_are_those_of_transformers(family: Callable[..., Any], tmp_path: Path) -> None:
    readers.build(family, tmp_path)
    ours = load(tmp_path)
    for text in TEXTS:
        expected, none = readers.spans(tmp_path, QUESTION, text, ours.context_length)
        (found,), nothing = ours.answer(QUESTION, [text])
        assert found.score == pytest.approx(expected[0][0], abs=1e-5)
        assert nothing == pytest.approx(none, abs=1e-5)
        # Half words are made whole, spaces are left out.
        assert text[expected[0][1] : expected[0][2]].strip() in text[found.start : found.end]
        assert expected[0][0] > 1.05 * expected[-1][0], "spans that are all alike prove nothing"


@pytest.mark.parametrize("family", [encoders.bert, encoders.roberta, encoders.distilbert])
def test_a_long_text_is_read_in_the_windows_that_transformers_cuts(family: Callable[..., Any], tmp_path: Path) -> None:
    readers.build(family, tmp_path)
    ours = load(tmp_path)
    from lmcli.engine.transformers_engine import open_engine

    theirs = open_engine(read(tmp_path, "tiny"), LoadOptions("cpu", "float32"), lambda event: None)
    assert isinstance(theirs, TransformersReader)
    for texts in ([LONG], [LONG, "Rain!", LONG[30:]]):
        found, nothing = ours.answer(QUESTION, texts, 3)
        expected, none = theirs.answer(QUESTION, texts, 3)
        assert [(one.text, one.start, one.end) for one in found] == [(one.text, one.start, one.end) for one in expected]
        assert [one.score for one in found] == pytest.approx([one.score for one in expected], rel=1e-3)
        assert nothing == pytest.approx(none, rel=1e-3)


def test_the_two_texts_of_a_pair_have_types_of_their_own(tmp_path: Path) -> None:
    readers.build(encoders.bert, tmp_path)
    ours = load(tmp_path)
    before = ours.answer(QUESTION, TEXTS[:1])[0][0].score
    ours._encoder.token_types.weight[1] = ours._encoder.token_types.weight[0]
    assert ours.answer(QUESTION, TEXTS[:1])[0][0].score != pytest.approx(before, rel=1e-3)


def test_other_architectures_run_on_transformers(tmp_path: Path) -> None:
    readers.electra(tmp_path)
    ours = load(tmp_path, TransformersReader)
    expected, none = readers.spans(tmp_path, QUESTION, TEXTS[0], 40)
    (found,), nothing = ours.answer(QUESTION, TEXTS[:1])
    assert (found.score, nothing) == pytest.approx((expected[0][0], none), abs=1e-5)


def test_a_checkpoint_that_answers_is_of_its_own_kind(tmp_path: Path) -> None:
    readers.build(encoders.bert, tmp_path)
    assert read(tmp_path, "tiny").kind == "qa"


def test_a_checkpoint_without_its_head_is_refused(tmp_path: Path) -> None:
    encoders.bert(tmp_path)
    config = tiny.read(tmp_path / "config.json") | {"architectures": ["BertForQuestionAnswering"]}
    encoders.write(tmp_path / "config.json", config)
    with pytest.raises(CheckpointError, match=r"do not fit its config: qa_outputs"):
        load(tmp_path)


def test_a_question_that_leaves_no_room_for_the_text_is_refused(tmp_path: Path) -> None:
    readers.build(encoders.bert, tmp_path)
    with pytest.raises(InputTooLong, match="together with the text"):
        load(tmp_path).answer("where " * 40, TEXTS)


def test_a_special_token_that_a_text_quotes_stays_text_in_its_place(tmp_path: Path) -> None:
    readers.build(encoders.bert, tmp_path)
    ours = load(tmp_path)
    quoting = ours._tokenizer.piece("The [SEP] cat")
    assert 3 not in quoting.tokens
    assert quoting.offsets[-1] == (10, 13)


def test_a_text_without_a_single_token_holds_no_answer(tmp_path: Path) -> None:
    readers.build(encoders.bert, tmp_path)
    assert load(tmp_path).answer(QUESTION, ["\u200b"]) == ([], 1.0)


# --- windows and spans ----------------------------------------------------------------------------------------------


@given(st.integers(0, 900), st.integers(1, 300), st.integers(0, 128))
def test_windows_hold_every_token_and_overlap(tokens: int, room: int, overlap: int) -> None:
    windows = cut(tokens, room, overlap)
    assert windows[0][0] == 0
    assert windows[-1][1] == tokens
    assert all(end - first <= room for first, end in windows)
    shared = min(overlap, room // 2)
    assert all(end - first == shared for (first, _), (_, end) in zip(windows[1:], windows, strict=False))


def window(starts: list[float], ends: list[float], text: int = 0, first: int = 0, nothing: float = -9.0) -> Window:
    offsets = [(2 * i, 2 * i + 1) for i in range(first, first + len(starts))]
    return Window(text, first, offsets, torch.tensor(starts).float(), torch.tensor(ends).float(), (nothing, nothing))


WORDS = "a b c d e f g h i j k l"


def test_an_answer_does_not_end_before_it_begins() -> None:
    (found,), _ = answers([window([0, 0, 8, 0], [8, 0, 0, 1])], [WORDS], 1)
    assert WORDS[found.start : found.end] == "c d"


def test_a_token_of_two_windows_counts_once() -> None:
    alone, _ = answers([window([0, 0, 5, 0, 0, 0], [0, 0, 5, 0, 0, 0])], [WORDS], 1)
    parts = [window([0, 0, 5, 0], [0, 0, 5, 0]), window([5, 0, 0, 0], [5, 0, 0, 0], first=2)]
    both, _ = answers(parts, [WORDS], 1)
    assert both == alone


def test_a_window_that_is_sure_of_little_does_not_beat_the_one_that_knows() -> None:
    knows, guesses = window([9.0, 8.5, 0], [9.0, 8.5, 0]), window([2.0, -9, -9], [2.0, -9, -9], text=1)
    (best,), _ = answers([guesses, knows], [WORDS, WORDS], 1)
    assert best.text == 0
    assert best.score < 0.6


def test_the_likeliest_answers_do_not_overlap() -> None:
    found, _ = answers([window([3, 5, 0, 4], [0, 5, 4, 4])], [WORDS], 3)
    assert [WORDS[one.start : one.end] for one in found] == ["b", "d", "c"]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_no_answer_is_as_likely_as_the_window_that_believes_it_least() -> None:
    _, none = answers([window([0.0], [0.0], nothing=2.0), window([0.0], [0.0], text=1, nothing=0.0)], [WORDS] * 2, 1)
    assert none == pytest.approx(1 / 9)


@pytest.mark.parametrize(("text", "expected"), [("Lindqvist wrote", "Lindqvist"), ("在公园吧", "公"), ("a-b c", "b")])
def test_half_a_word_becomes_the_word_but_a_chinese_character_stays_one(text: str, expected: str) -> None:
    starts = torch.full((len(text),), -9.0)
    starts[text.index(expected[0]) + (len(expected) > 1)] = 9.0
    offsets = [(i, i + 1) for i in range(len(text))]
    (found,), _ = answers([Window(0, 0, offsets, starts, starts, (-9.0, -9.0))], [text], 1)
    assert text[found.start : found.end] == expected
    assert math.isclose(found.score, 1, abs_tol=1e-3)
