"""Many prompts side by side: each answer is the one it would have had alone, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lmcli import engine
from lmcli.engine import torch_engine
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.torch_engine import TorchDecoder
from lmcli.errors import InputTooLong
from lmcli.types import Conversation, Done, Event, LoadOptions, Prompt, SamplingParams, TaskResult

WINDOWS = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
FACTORS = {"short_factor": [1.1] * 8, "long_factor": [3.0] * 8}
OUTGROWN = {"rope_parameters": {"rope_type": "longrope", **FACTORS}, "original_max_position_embeddings": 60}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("mistral", {"sliding_window": 24}),
    ("qwen2", WINDOWS),
    ("smollm3", {"no_rope_layers": [1, 0, 1]}),
    ("phi3", OUTGROWN),
    ("gemma2", {"head_dim": 16, "sliding_window": 24, "attn_logit_softcapping": 2.0}),
    ("gemma3_text", {"head_dim": 16, "sliding_window": 24, "num_hidden_layers": 6}),
    ("qwen3_moe", {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2}),
]
FIRST_ROWS, ROWS = 8, 10
# Of 1 to 110 tokens, most beginning like the one before: more than there are rows.
PROMPTS: list[Prompt] = ["Hello " * n + "how are you?"[:n] for n in range(1, 17)]
PROMPTS += [Conversation.ask("Who are you?"), "x", Conversation.ask("Who is there?", system="Be brief.")]
LENGTHS = [SamplingParams(max_tokens=1 + 7 * n % 40) for n in range(len(PROMPTS))]


def load(folder: Path, family: str = "llama", **overrides: Any) -> GenerationEngine:
    tiny.save(folder, tiny.config(family, **overrides))
    loaded = engine.load(tiny.checkpoint(folder, family), LoadOptions("cpu", "float32"))
    assert isinstance(loaded, GenerationEngine)
    return loaded


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_engine, "_ROWS", ROWS)


@pytest.fixture
def ours(tmp_path: Path) -> GenerationEngine:
    return load(tmp_path)


def told(result: TaskResult) -> tuple[str, str, int, int]:
    return result.text, result.finish_reason, result.usage.prompt_tokens, result.usage.completion_tokens


def alone(loaded: GenerationEngine, params: Sequence[SamplingParams]) -> list[tuple[str, str, int, int]]:
    return [told(TaskResult.fold(loaded.stream(*pair))) for pair in zip(PROMPTS, params, strict=True)]


def together(loaded: GenerationEngine, params: Sequence[SamplingParams]) -> list[tuple[str, str, int, int]]:
    return [told(TaskResult.fold(events)) for events in sorted_out(loaded.stream_many(PROMPTS, params))]


def sorted_out(pairs: Iterator[tuple[int, Event]]) -> list[list[Event]]:
    """Each prompt's own events."""
    events: list[list[Event]] = [[] for _ in PROMPTS]
    for index, event in pairs:
        events[index].append(event)
    return events


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("family", "overrides"), FAMILIES)
def test_greedy_answers_are_those_each_prompt_has_alone(
    family: str, overrides: dict[str, Any], recorded: bool, tmp_path: Path
) -> None:
    loaded = load(tmp_path, family, **overrides)
    if not recorded:
        loaded.decoder._recorded.record = lambda: None  # type: ignore[attr-defined]
    expected = alone(loaded, LENGTHS)
    assert together(loaded, LENGTHS) == expected
    assert len({tokens for *_, tokens in expected}) > 10  # They end at different steps.


def test_sampled_answers_with_a_seed_are_those_each_prompt_has_alone(ours: GenerationEngine) -> None:
    params = [replace(p, temperature=1.0, top_k=40, repetition_penalty=1.2, seed=n) for n, p in enumerate(LENGTHS)]
    assert together(ours, params) == alone(ours, params)


def test_stop_strings_end_one_answer_and_not_the_others(ours: GenerationEngine) -> None:
    longer = [SamplingParams(max_tokens=24)] * len(PROMPTS)
    middles = [text[4:6] for text, *_ in alone(ours, longer)]
    params = [replace(p, stop=(middles[n],) if n % 2 else ()) for n, p in enumerate(longer)]
    expected = alone(ours, params)
    assert {reason for _, reason, *_ in expected} == {"stop", "length"}
    assert together(ours, params) == expected


def test_every_prompt_has_its_own_done_at_its_end(ours: GenerationEngine) -> None:
    for events in sorted_out(ours.stream_many(PROMPTS, LENGTHS)):
        assert [isinstance(event, Done) for event in events] == [False] * (len(events) - 1) + [True]


def test_a_prompt_takes_its_row_as_soon_as_one_is_free(ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(ours.decoder, TorchDecoder)
    ours.tokenizer.stop_ids = frozenset()  # Each answer has the length it may have.
    rows, run = [], ours.decoder.forward_rows
    monkeypatch.setattr(
        ours.decoder, "forward_rows", lambda tokens, cache: rows.append(len(tokens)) or run(tokens, cache)
    )
    lengths = [40 if n == 0 else 6 for n in range(len(PROMPTS))]
    list(ours.stream_many(PROMPTS, [SamplingParams(max_tokens=n) for n in lengths]))
    assert rows[:5] == [FIRST_ROWS] * 5  # until the first answers are there
    assert rows[5:10] == [ROWS] * 5
    assert len(rows) == 39  # The long answer's steps: all the others fit beside it.


def test_what_all_prompts_begin_with_is_prefilled_once(ours: GenerationEngine) -> None:
    shared = "Translate this sentence into German: "
    ours.decoder.rewind(0)
    usages = [
        event.usage
        for _, event in ours.stream_many([shared + end for end in ("one", "two", "three")], LENGTHS[:3])
        if isinstance(event, Done)
    ]
    assert sorted(usage.cached_tokens for usage in usages) == [0, len(shared), len(shared) + 1]  # two, three


def test_the_time_of_a_shared_step_is_counted_once(ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    ours.tokenizer.stop_ids = frozenset()
    clock = iter(range(10_000))
    monkeypatch.setattr("lmcli.engine.generation.time.perf_counter", lambda: next(clock))
    results = [TaskResult.fold(e) for e in sorted_out(ours.stream_many(PROMPTS, [SamplingParams(max_tokens=9)] * 19))]
    assert all(result.usage.ttft_seconds == 1 for result in results)
    steps = 3 * 8  # eight prompts, ten, and the last
    assert sum(result.usage.decode_seconds for result in results) == pytest.approx(steps)


def test_an_answer_left_half_way_leaves_the_engine_usable(ours: GenerationEngine) -> None:
    expected = alone(ours, LENGTHS)
    half = ours.stream_many(PROMPTS, LENGTHS)
    for _ in range(30):
        next(half)
    half.close()  # type: ignore[attr-defined]
    assert alone(ours, LENGTHS) == expected
    assert together(ours, LENGTHS) == expected


@pytest.mark.parametrize("place", ["RowCache.keep", "RowCache.add", "RowCache.remove", "KVCache.reserve"])
def test_ctrl_c_anywhere_leaves_the_engine_usable(
    place: str, ours: GenerationEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alone(ours, LENGTHS)
    owner = getattr(torch_engine, place.partition(".")[0])
    run, count = getattr(owner, place.partition(".")[2]), iter(range(9))

    def interrupted(*arguments: Any) -> Any:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return run(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, place.partition(".")[2], interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(ours.stream_many(PROMPTS, LENGTHS))
    assert together(ours, LENGTHS) == expected
    assert alone(ours, LENGTHS) == expected


def test_a_prompt_longer_than_the_context_is_refused_before_the_model_runs(ours: GenerationEngine) -> None:
    held = list(ours.decoder.tokens)
    with pytest.raises(InputTooLong):
        ours.stream_many(["short", "x" * 600], LENGTHS[:2])
    assert ours.decoder.tokens == held


def test_rows_are_fewer_where_their_cache_would_grow_too_large(ours: GenerationEngine) -> None:
    sizes = {longest: batch.rows if (batch := ours.decoder.batch(20, longest)) else 1 for longest in (100, 400_000)}
    assert sizes[100] == ROWS
    assert 1 < ours.decoder.batch(20, 100_000).rows < ROWS  # type: ignore[union-attr]
    assert sizes[400_000] == 1


def test_no_prompt_is_no_event(ours: GenerationEngine) -> None:
    assert list(ours.stream_many([], [])) == []


def test_decoders_that_cannot_be_batched_answer_one_after_another(tmp_path: Path) -> None:
    loaded = load(tmp_path, "gpt_neox", num_key_value_heads=None)
    assert not isinstance(loaded.decoder, TorchDecoder)
    assert together(loaded, LENGTHS) == alone(loaded, LENGTHS)
    order = [index for index, _ in loaded.stream_many(PROMPTS, LENGTHS)]
    assert order == sorted(order)


def test_half_precision_and_packed_weights_stay_close_to_fp32(tmp_path: Path) -> None:
    """Side by side the same products run in another order: not the same bits, and so not always the same token."""
    tiny.save(tmp_path, tiny.config("llama", initializer_range=0.05))
    exact, packed = (engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", dtype)) for dtype in ("float32", "auto"))
    assert isinstance(exact, GenerationEngine)
    assert isinstance(packed, GenerationEngine)
    packed.prepare()
    batches = [loaded.decoder.batch(2, 64) for loaded in (exact, packed)]
    for prompt in ("Once upon a time", "Twice"):
        for loaded, batch in zip((exact, packed), batches, strict=True):
            assert batch is not None
            loaded.decoder.rewind(0)
            loaded.decoder.forward(loaded.tokenizer.encode(prompt))
            batch.add()
    for token in range(20, 40):
        expected, logits = (batch.forward([token, token + 9]) for batch in batches)  # type: ignore[union-attr]
        assert (logits - expected).norm() / expected.norm() < 0.01


def test_a_recorded_pass_over_several_tokens_is_not_that_of_a_lone_one(tmp_path: Path) -> None:
    loaded = load(tmp_path, "mistral", sliding_window=24)
    tokens = loaded.tokenizer.encode("Hello there, how are you today? I am fine.")
    expected = loaded.decoder.forward(tokens)
    loaded.decoder.rewind(0)
    loaded.prepare()
    loaded.decoder.forward(tokens[:-5])
    loaded.decoder.forward(tokens[-5:-4])  # Recorded with the window's mask.
    torch.testing.assert_close(loaded.decoder.forward(tokens[-4:]), expected, rtol=1e-3, atol=1e-3)
