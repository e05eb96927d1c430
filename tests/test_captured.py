"""Captured passes: what runs at fixed addresses says what the growing cache says, and a GPU replays it as a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from lmcli import engine
from lmcli.engine import captured, kv_cache
from lmcli.engine.attention import attention, causal_mask, folded_attention
from lmcli.engine.captured import StaticPass
from lmcli.engine.device import Placement
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.kv_cache import StaticKVCache, whole_capacity
from lmcli.engine.torch_engine import TorchDecoder
from lmcli.types import Event, LoadOptions, Notice, SamplingParams, TaskResult

CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
LONGROPE = {
    "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0 + 0.1 * i for i in range(8)],
        "long_factor": [2.0 + i for i in range(8)],
    },
    "original_max_position_embeddings": 300,
}  # fmt: skip
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"num_key_value_heads": 4, "attention_bias": True}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}),
    ("qwen3", {"head_dim": 32}),
    ("smollm3", {"num_hidden_layers": 5}),
    ("gemma2", {"head_dim": 16, "sliding_window": 24, "query_pre_attn_scalar": 20, **CAPS}),
    ("gemma2", {"head_dim": 16, "sliding_window": 3, **CAPS}),  # shorter than what lookup checks at once
    ("gemma3_text", {"head_dim": 16, "sliding_window": 24, "query_pre_attn_scalar": 20, "num_hidden_layers": 7}),
    ("phi3", LONGROPE),  # which the text outgrows
]
TEXT = list(b"The quick brown fox jumps over the lazy dog. " * 8)  # a token a byte
pytestmark = pytest.mark.usefixtures("one_thread")
Run = Callable[[], Tensor]


def static_on_cpu(patch: pytest.MonkeyPatch, shapes: list[tuple[int, int]] | None = None) -> None:
    """Run passes over few tokens at fixed addresses on a CPU too, which computes them where a GPU would replay them;
    `shapes` gets the tokens and the columns of each that a GPU would capture."""

    def capture(run: StaticPass, device: torch.device) -> Run:
        if shapes is not None:
            shapes.append((len(run.inputs) - 1, run.capacity))
        return run

    patch.setattr(Placement, "captures", True)
    patch.setattr(captured, "capture", capture)
    patch.setattr(kv_cache, "_FIRST_BYTES", 0)


def load(folder: Path, family: str = "llama", notices: list[Event] | None = None, device: str = "cpu") -> Any:
    report = [].append if notices is None else notices.append
    loaded = engine.load(tiny.checkpoint(folder, family), LoadOptions(device, "float32"), report)
    assert isinstance(loaded, GenerationEngine)
    assert isinstance(loaded.decoder, TorchDecoder)
    return loaded


def passes() -> Iterator[list[int]]:
    """A prompt, then tokens by one and by several, up to where the cache grows and beyond."""
    start = 0
    for T in (230, 1, 3, 1, 5, 8, 1, 2, 1, 1, 8, 1, 40, 1, 7):
        yield TEXT[start : start + T]
        start += T


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant[0]} {' '.join(variant[1])}")
def test_passes_at_fixed_addresses_give_the_logits_of_the_growing_cache(
    variant: tuple[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, overrides = variant
    tiny.save(tmp_path, tiny.config(family, **overrides))
    growing = load(tmp_path, family).decoder
    shapes: list[tuple[int, int]] = []
    static_on_cpu(monkeypatch, shapes)
    static = load(tmp_path, family).decoder
    for tokens in passes():
        expected, logits = (decoder.forward(tokens, last=len(tokens)) for decoder in (growing, static))
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    # A text that outgrows its LongRoPE is turned anew, and captured anew.
    assert shapes[:4] == [(1, 256), (8, 256), (8, 512), (1, 512)]
    assert len(shapes) == (6 if family == "phi3" else 4)


def test_an_answer_with_lookup_is_the_same_at_fixed_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save(tmp_path, tiny.config("llama", eos_token_id=None, initializer_range=0.05))
    prompt, params = "one two three one two three one two", SamplingParams(max_tokens=80)
    expected = TaskResult.fold(load(tmp_path).stream(prompt, params))
    shapes: list[tuple[int, int]] = []
    static_on_cpu(monkeypatch, shapes)
    loaded = load(tmp_path)
    assert TaskResult.fold(loaded.stream(prompt, params)).text == expected.text
    assert TaskResult.fold(loaded.stream(prompt, params)).text == expected.text  # behind what the first has left
    assert {T for T, _ in shapes} == {1, 8}


def test_a_new_text_takes_the_graph_of_its_own_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    shapes: list[tuple[int, int]] = []
    static_on_cpu(monkeypatch, shapes)
    decoder = load(tmp_path).decoder
    for prompt in (300, 20, 300):
        decoder.rewind(0)
        decoder.forward(TEXT[:prompt])
        decoder.forward(TEXT[prompt : prompt + 1])
        decoder.forward(TEXT[prompt + 1 : prompt + 2])
    assert shapes == [(1, 512), (1, 256)]


def test_logits_stay_what_they_are_when_the_next_pass_has_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    buffer = torch.empty(8, tiny.VOCAB_SIZE)

    def into_buffer(run: StaticPass, _: torch.device) -> Run:
        return lambda: buffer[: len(run.inputs) - 1].copy_(run())

    static_on_cpu(monkeypatch)
    monkeypatch.setattr(captured, "capture", into_buffer)
    decoder = load(tmp_path).decoder
    decoder.forward(TEXT[:20])
    first = decoder.forward([1])
    kept = first.clone()
    decoder.forward([2])
    assert torch.equal(first, kept)


def test_without_graphs_decode_goes_on_and_verbose_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    prompt, params = "one two three one two three one two", SamplingParams(max_tokens=12)
    expected = TaskResult.fold(load(tmp_path).stream(prompt, params))
    tried: list[int] = []

    def fail(run: StaticPass, _: torch.device) -> Run:
        tried.append(1)
        run()
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    static_on_cpu(monkeypatch)
    monkeypatch.setattr(captured, "capture", fail)
    notices: list[Event] = []
    loaded = load(tmp_path, notices=notices)
    assert TaskResult.fold(loaded.stream(prompt, params)).text == expected.text
    said = [event.text for event in notices if isinstance(event, Notice) and event.verbose]
    assert "decoding without CUDA graphs: CUDA error: operation not permitted when stream is capturing" in said
    assert len(tried) == 1


def test_texts_too_long_for_graphs_are_decoded_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.save(tmp_path, tiny.config("llama"))
    shapes: list[tuple[int, int]] = []
    static_on_cpu(monkeypatch, shapes)
    monkeypatch.setattr(captured, "_LONGEST", 256)
    decoder = load(tmp_path).decoder
    decoder.forward(TEXT[:250])
    for token in TEXT[250:260]:
        decoder.forward([token])
    assert shapes == [(1, 256)]
    assert len(decoder.tokens) == 260


def test_a_mixture_of_experts_is_not_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experts = {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2}
    tiny.save(tmp_path, tiny.config("qwen3_moe", **experts))
    shapes: list[tuple[int, int]] = []
    static_on_cpu(monkeypatch, shapes)
    decoder = load(tmp_path, "qwen3_moe").decoder
    decoder.forward(TEXT[:20])
    decoder.forward([1])
    assert not shapes


@pytest.mark.parametrize(
    ("tokens", "capacity"), [(1, 256), (256, 256), (257, 512), (512, 512), (513, 1024), (1025, 2048)]
)
def test_capacities_are_doublings(tokens: int, capacity: int) -> None:
    assert whole_capacity(tokens) == capacity


@pytest.mark.parametrize(
    ("longest", "capacity"), [(100, 256), (512, 512), (1000, 512), (40_000, 32_768), (10**6, 2**18)]
)
def test_a_static_cache_begins_as_large_as_the_context_or_a_quarter_of_a_gigabyte(longest: int, capacity: int) -> None:
    cache = StaticKVCache(2, 2, 64, torch.bfloat16, torch.device("meta"), longest)
    cache.reserve(1)
    assert cache.capacity == capacity


def queries(T: int, S: int, H: int = 4, KV: int = 2, D: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    q = torch.randn(T, H, D, generator=draw).transpose(0, 1).unsqueeze(0)  # laid out as a decoder's
    k, v = (torch.randn(1, KV, S, D, generator=draw) for _ in range(2))
    return q, k, v


def test_attention_folded_for_a_gpu_is_that_of_groups() -> None:
    q, k, v = queries(T=3, S=10)
    mask = torch.rand(3, 10) < 0.5
    mask[:, 0] = True
    expected = attention(q, k, v, mask, scale=0.3)
    torch.testing.assert_close(folded_attention(q, k, v, mask, 0.3), expected, rtol=1e-5, atol=1e-5)


def test_the_mask_of_causal_queries_is_of_the_last_tokens() -> None:
    q, k, v = queries(T=6, S=6)
    whole = attention(q, k, v, causal=True)
    last = q[:, :, 4:]
    torch.testing.assert_close(attention(last, k, v, causal_mask(last, k)), whole[:, :, 4:], rtol=1e-5, atol=1e-5)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
ON_GPU = [*VARIANTS, ("qwen3_moe", {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2})]


@needs_gpu
@pytest.mark.parametrize("variant", ON_GPU, ids=lambda variant: f"{variant[0]} {' '.join(variant[1])}")
def test_a_gpu_gives_the_logits_of_the_cpu_in_float32(variant: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    family, overrides = variant
    tiny.save(tmp_path, tiny.config(family, **overrides))
    notices: list[Event] = []
    cpu, gpu = load(tmp_path, family).decoder, load(tmp_path, family, notices, "cuda").decoder
    for tokens in passes():
        expected, logits = (decoder.forward(tokens, last=len(tokens)) for decoder in (cpu, gpu))
        torch.testing.assert_close(logits.cpu(), expected, rtol=1e-3, atol=1e-3)
    assert not any("without CUDA graphs" in event.text for event in notices if isinstance(event, Notice))


@needs_gpu
@pytest.mark.parametrize("overrides", [{}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1}], ids=str)
def test_a_gpu_in_half_precision_stays_close_to_float32(overrides: dict[str, Any], tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", initializer_range=0.05, **overrides))
    exact = load(tmp_path).decoder
    half = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cuda")).decoder  # type: ignore[union-attr]
    for tokens in (TEXT[:40], TEXT[40:100], *([token] for token in TEXT[100:110]), TEXT[110:115]):
        expected, logits = exact.forward(tokens), half.forward(tokens).cpu()
        assert (logits - expected).norm() / expected.norm() < 0.03


@needs_gpu
def test_a_gpu_goes_on_where_an_operation_cannot_be_captured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = captured.staged_masks

    def waits_for_the_gpu(length: Tensor, *others: Any) -> Tensor:
        length.item()
        return masks(length, *others)

    monkeypatch.setattr(captured, "staged_masks", waits_for_the_gpu)
    tiny.save(tmp_path, tiny.config("llama"))
    notices: list[Event] = []
    cpu, gpu = load(tmp_path).decoder, load(tmp_path, notices=notices, device="cuda").decoder
    for tokens in passes():
        expected, logits = (decoder.forward(tokens, last=len(tokens)) for decoder in (cpu, gpu))
        torch.testing.assert_close(logits.cpu(), expected, rtol=1e-3, atol=1e-3)
    assert sum("without CUDA graphs" in event.text for event in notices if isinstance(event, Notice)) == 1


@needs_gpu
def test_a_gpu_answers_a_batch_as_it_answers_one(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", eos_token_id=None))
    loaded = load(tmp_path, device="cuda")
    prompts, params = ["one", "two and three", "four"], SamplingParams(max_tokens=12)
    alone = [TaskResult.fold(loaded.stream(prompt, params)).text for prompt in prompts]
    events: list[list[Event]] = [[] for _ in prompts]
    for index, event in loaded.stream_many(prompts, [params] * len(prompts)):
        events[index].append(event)
    assert [TaskResult.fold(own).text for own in events] == alone
