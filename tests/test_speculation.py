"""Lookup decoding: the same tokens as without, however the guesses turn out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmcli import engine
from lmcli.engine import generation
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.speculation import MOST, Lookup, Pace
from lmcli.types import Chunk, Done, LoadOptions, SamplingParams

pytestmark = pytest.mark.usefixtures("one_thread")
REPETITIVE = "the cat sat on the mat, the cat sat on the mat, the cat sat on the mat, the"
UNLIMITED = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> GenerationEngine:
    folder = tmp_path_factory.mktemp("llama")
    tiny.save(folder, tiny.config("llama"))
    loaded = engine.load(tiny.checkpoint(folder), LoadOptions("cpu", "float32"))
    assert isinstance(loaded, GenerationEngine)
    return loaded


def answer(ours: GenerationEngine, prompt: str, params: SamplingParams, lookup: bool) -> tuple[str, str, int]:
    ours.decoder.rewind(0)
    ours.decoder.verifies = lookup
    *events, done = ours.stream(prompt, params)
    assert isinstance(done, Done)
    text = "".join(event.text for event in events if isinstance(event, Chunk))
    return text, done.finish_reason, done.usage.completion_tokens


@UNLIMITED
@given(
    prompt=st.text(alphabet="ab ,\n", min_size=1, max_size=60),
    max_tokens=st.integers(1, 40),
    stop=st.sampled_from([(), ("a",), ("ab", "\n"), ("\u00e9",)]),
)
def test_greedy_answers_are_those_without_lookup(
    ours: GenerationEngine, prompt: str, max_tokens: int, stop: tuple[str, ...]
) -> None:
    params = SamplingParams(max_tokens=max_tokens, stop=stop)
    assert answer(ours, prompt, params, True) == answer(ours, prompt, params, False)


@pytest.mark.parametrize("penalty", [1.0, 1.3])
@pytest.mark.parametrize("seed", range(6))
def test_drawn_answers_of_one_seed_are_those_without_lookup(ours: GenerationEngine, seed: int, penalty: float) -> None:
    params = SamplingParams(max_tokens=40, temperature=0.9, top_k=4, repetition_penalty=penalty, seed=seed)
    assert answer(ours, REPETITIVE, params, True) == answer(ours, REPETITIVE, params, False)


def test_what_is_drawn_with_lookup_has_the_decoders_distribution(ours: GenerationEngine) -> None:
    """Second tokens over many seeds, with a guesser whose first guess is always the same token."""
    params = SamplingParams(max_tokens=2, temperature=1.5, top_k=3)
    drawn = {
        lookup: Counter(answer(ours, REPETITIVE, replace(params, seed=seed), lookup)[0] for seed in range(150))
        for lookup in (True, False)
    }
    assert drawn[True] == drawn[False]
    assert len(drawn[True]) > 3


def test_right_guesses_save_passes(ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours.tokenizer, "stop_ids", frozenset())
    params = SamplingParams(max_tokens=60)
    expected = answer(ours, REPETITIVE, params, lookup=False)
    known, passes = list(ours.decoder.tokens), []
    forward = ours.decoder.forward

    class Oracle(Lookup):
        def guess(self, tokens: Sequence[int], most: int) -> list[int]:
            return known[len(tokens) :][:most]

    def counted(tokens: list[int], last: int = 1) -> object:
        passes.append(len(tokens))
        return forward(tokens, last)

    monkeypatch.setattr(generation, "Lookup", Oracle)
    monkeypatch.setattr(ours.decoder, "forward", counted)
    assert answer(ours, REPETITIVE, params, lookup=True) == expected
    assert max(passes[1:]) == 1 + MOST
    assert len(passes) < 15


def test_an_answer_after_one_with_wrong_guesses_is_as_from_a_fresh_cache(ours: GenerationEngine) -> None:
    first = SamplingParams(max_tokens=15)
    fresh = answer(ours, REPETITIVE + " dog", first, False)
    ours.decoder.verifies = True
    list(ours.stream(REPETITIVE, replace(first, stop=("e",))))
    *events, _ = ours.stream(REPETITIVE + " dog", first)
    assert "".join(event.text for event in events if isinstance(event, Chunk)) == fresh[0]


def test_lookup_follows_the_longest_match_and_its_last_place() -> None:
    lookup = Lookup()
    assert lookup.guess([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3], 3) == [4, 9, 2]
    assert lookup.guess([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3, 7, 2, 3], 2) == [7, 2]
    assert lookup.guess([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3, 7, 2, 3, 8], 2) == []


def test_lookup_rests_after_repeated_misses_and_goes_on() -> None:
    pace = Pace()
    lengths = []
    for _ in range(60):
        length = pace.length()
        lengths.append(length)
        if length:
            pace.learn(length, 0)
    assert lengths.count(0) > 30
    assert any(lengths[-17:])
    while not pace.length():
        pass
    pace.learn(2, 2)
    assert pace.length() == MOST


def test_context_is_never_overrun_by_guesses(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", max_position_embeddings=64))
    loaded = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    assert isinstance(loaded, GenerationEngine)
    loaded.tokenizer.stop_ids = frozenset()
    prompt = "ab" * 20
    whole = answer(loaded, prompt, SamplingParams(), True)
    assert whole == answer(loaded, prompt, SamplingParams(), False)
    assert whole[1:] == ("length", 24)
