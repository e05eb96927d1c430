"""Our decoder against transformers: the same greedy tokens and the same logits, for every family and variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from lmcli import engine
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.torch_engine import TorchDecoder
from lmcli.types import LoadOptions, Notice

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}


def longrope(trained_length: int, partial_rotary_factor: float = 1.0) -> dict[str, Any]:
    """Phi 3's own way to turn texts longer than those it was trained on."""
    pairs = int(16 * partial_rotary_factor) // 2
    factors = {"short_factor": [1.0 + 0.1 * i for i in range(pairs)], "long_factor": [2.0 + i for i in range(pairs)]}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": partial_rotary_factor, **factors}
    return {"rope_parameters": rope, "original_max_position_embeddings": trained_length}


EXPERTS = {"moe_intermediate_size": 48, "num_experts": 6, "num_experts_per_tok": 2}
CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
QWEN_WINDOWS = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("llama", {"num_key_value_heads": 4}),
    ("llama", {"num_key_value_heads": 1}),
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("llama", {"head_dim": 24}),
    ("llama", {"rope_parameters": LLAMA3}),
    ("llama", {"rope_parameters": LINEAR}),
    ("llama", {"rope_parameters": YARN}),
    ("llama", {"rope_parameters": YARN | {"mscale": 0.8, "mscale_all_dim": 0.5, "truncate": False}}),
    ("mistral", {"sliding_window": 24}),
    ("mistral", {"sliding_window": None}),
    ("qwen2", {}),
    ("qwen2", {"tie_word_embeddings": True, "rope_parameters": YARN}),
    ("qwen2", QWEN_WINDOWS),
    ("qwen3", {"head_dim": 32}),
    (
        "qwen3",
        {"head_dim": 16, "tie_word_embeddings": True, "attention_bias": True, "num_key_value_heads": 4},
    ),
    ("qwen3", {"head_dim": 16, **QWEN_WINDOWS}),
    ("smollm3", {"num_hidden_layers": 5}),
    ("smollm3", {"no_rope_layers": [0, 1, 0], "tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
    ("smollm3", {"no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 24}),
    ("phi3", {}),
    ("phi3", {"sliding_window": 24, "num_key_value_heads": 4}),
    ("phi3", {"partial_rotary_factor": 0.75, "tie_word_embeddings": True}),
    ("phi3", longrope(trained_length=1000)),
    ("phi3", longrope(trained_length=120)),  # The text outgrows it while it is continued
    ("phi3", longrope(trained_length=40, partial_rotary_factor=0.5)),  # and has done so from the start.
    ("gemma", {"head_dim": 24}),
    ("gemma", {"head_dim": 16, "num_key_value_heads": 1, "hidden_act": "gelu", "tie_word_embeddings": False}),
    ("gemma2", {"head_dim": 16, "sliding_window": 24, "query_pre_attn_scalar": 20, **CAPS}),
    ("gemma2", {"head_dim": 24, "num_key_value_heads": 4, **CAPS}),
    ("gemma2", {"head_dim": 16, "sliding_window": 24, "attn_logit_softcapping": None, "final_logit_softcapping": None}),
    ("gemma3_text", {"head_dim": 16, "sliding_window": 24, "query_pre_attn_scalar": 20, "num_hidden_layers": 7}),
    (
        "gemma3_text",
        {
            "head_dim": 24,
            "sliding_window": 24,
            "layer_types": ["full_attention", *2 * ["sliding_attention"]],
            "rope_parameters": {"full_attention": LINEAR, "sliding_attention": {"rope_type": "default"}},
        },
    ),
    ("qwen3_moe", EXPERTS),
    ("qwen3_moe", {**EXPERTS, "norm_topk_prob": True, "head_dim": 32, "mlp_only_layers": [1], "attention_bias": True}),
    ("qwen3_moe", {**EXPERTS, "decoder_sparse_step": 2, "use_sliding_window": True, "sliding_window": 24}),
    ("mixtral", {"num_local_experts": 4}),
    ("mixtral", {"num_local_experts": 5, "num_experts_per_tok": 3, "sliding_window": 24, "tie_word_embeddings": True}),
]
pytestmark = pytest.mark.usefixtures("one_thread")
PROMPT = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过懒狗。"


def name(variant: tuple[str, dict[str, Any]]) -> str:
    family, overrides = variant
    return " ".join(
        [family, *(f"{k}={v.get('rope_type', '') if isinstance(v, dict) else v}" for k, v in overrides.items())]
    )


@pytest.mark.parametrize("variant", VARIANTS, ids=name)
def test_greedy_tokens_and_logits_equal_those_of_transformers(
    variant: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    family, overrides = variant
    model = tiny.save(tmp_path, tiny.config(family, **overrides))
    model.generation_config.eos_token_id = None  # To compare long continuations.
    ours = engine.load(tiny.checkpoint(tmp_path, family), LoadOptions("cpu", "float32"))
    assert isinstance(ours, GenerationEngine)
    assert isinstance(ours.decoder, TorchDecoder)
    prompt = ours.tokenizer.encode(PROMPT)
    with torch.no_grad():
        expected = model(torch.tensor([prompt])).logits[0]
    torch.testing.assert_close(ours.decoder.forward(prompt, last=len(prompt)), expected, rtol=1e-3, atol=1e-3)
    assert continuation(ours, prompt, 64) == tiny.greedy(model, prompt, 64)


@pytest.mark.parametrize("block", [1, 3, 40])
def test_a_prompt_prefilled_in_pieces_gives_the_same_logits(block: int, tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("qwen2", **QWEN_WINDOWS))
    ours = engine.load(tiny.checkpoint(tmp_path, "qwen2"), LoadOptions("cpu", "float32"))
    assert isinstance(ours, GenerationEngine)
    prompt = ours.tokenizer.encode(PROMPT)
    whole = ours.decoder.forward(prompt)
    ours.decoder.rewind(0)
    for first in range(0, len(prompt), block):
        pieces = ours.decoder.forward(prompt[first : first + block])
    torch.testing.assert_close(pieces, whole, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_close_to_fp32(dtype: str, tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", initializer_range=0.05))
    exact = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    half = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", dtype))
    assert isinstance(exact, GenerationEngine)
    assert isinstance(half, GenerationEngine)
    prompt = exact.tokenizer.encode(PROMPT)
    expected, logits = (e.decoder.forward(prompt, last=len(prompt)) for e in (exact, half))
    assert (logits - expected).norm() / expected.norm() < 0.03


@pytest.mark.parametrize(
    "variant",
    [
        ("qwen3", {}),
        ("phi3", longrope(trained_length=40, partial_rotary_factor=0.5)),
        ("gemma2", {"head_dim": 16, "sliding_window": 24, **CAPS}),
        ("qwen3_moe", EXPERTS),
    ],
    ids=name,
)
def test_packed_decode_stays_within_fp16_of_fp32(variant: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    family, overrides = variant
    tiny.save(tmp_path, tiny.config(family, initializer_range=0.05, **overrides))
    exact = engine.load(tiny.checkpoint(tmp_path, family), LoadOptions("cpu", "float32"))
    packed = engine.load(tiny.checkpoint(tmp_path, family), LoadOptions("cpu", "auto"))
    assert isinstance(exact, GenerationEngine)
    assert isinstance(packed, GenerationEngine)
    packed.prepare()
    for token in exact.tokenizer.encode(PROMPT):  # One by one: every step is a packed one.
        expected, logits = exact.decoder.forward([token]), packed.decoder.forward([token])
        assert (logits - expected).norm() / expected.norm() < 0.01


def continuation(ours: GenerationEngine, prompt: list[int], count: int) -> list[int]:
    """Greedy tokens through the decoder itself, whose cache already holds `prompt`."""
    ours.decoder.rewind(len(prompt) - 1)
    tokens = [prompt[-1]]
    for _ in range(count):
        tokens.append(int(ours.decoder.forward(tokens[-1:])[-1].argmax()))
    return tokens[1:]


def test_a_config_our_decoder_does_not_know_goes_to_transformers_and_verbose_says_why(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("gpt_neox", num_key_value_heads=None))
    notices: list[Any] = []
    loaded = engine.load(tiny.checkpoint(tmp_path, "gpt_neox"), LoadOptions("cpu", "float32"), report=notices.append)
    assert not isinstance(getattr(loaded, "decoder", None), TorchDecoder)
    assert any(isinstance(notice, Notice) and "gpt_neox" in notice.text and notice.verbose for notice in notices)


@pytest.mark.parametrize(
    "unknown",
    [{"rope_scaling": {"type": "dynamic", "factor": 2.0}}, {"hidden_act": "gelu"}, {"logit_scale": 2.0}],
)
def test_an_unknown_field_of_the_config_is_never_ignored(unknown: dict[str, Any]) -> None:
    from lmcli.engine.config import NotUnderstood
    from lmcli.engine.families import read_config

    known = {"model_type": "llama", **{k: v for k, v in tiny.DIMENSIONS.items() if v is not None}}
    assert read_config(known).num_layers == 3
    with pytest.raises(NotUnderstood, match=next(iter(unknown)).removesuffix("_scaling")):
        read_config(known | unknown)


def test_a_text_that_outgrows_longrope_and_one_cut_back_are_turned_anew(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("phi3", **longrope(trained_length=40)))
    decoder = engine.load(tiny.checkpoint(tmp_path, "phi3"), LoadOptions("cpu", "float32")).decoder  # type: ignore
    short = decoder.forward(range(40))
    decoder.forward([40])
    grown = decoder.forward(range(41, 50))
    assert decoder.tokens == list(range(50))
    assert decoder.rewind(45) == 45
    torch.testing.assert_close(decoder.forward(range(45, 50)), grown, rtol=1e-3, atol=1e-3)
    assert decoder.rewind(30) == 0  # What is left would be a short text, and was turned as part of a long one.
    torch.testing.assert_close(decoder.forward(range(40)), short, rtol=1e-3, atol=1e-3)
    decoder.rewind(0)
    torch.testing.assert_close(decoder.forward(range(50)), grown, rtol=1e-3, atol=1e-3)


SHAPE = {
    "vocab_size": 259, "hidden_size": 64, "intermediate_size": 112, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
}  # fmt: skip
PUBLISHED: list[dict[str, Any]] = [
    {
        "model_type": "smollm3", "attention_bias": False, "max_window_layers": 28, "mlp_bias": False,
        "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0], "num_hidden_layers": 4, "pretraining_tp": 2,
        "rope_scaling": None, "rope_theta": 5000000.0, "sliding_window": None, "use_sliding_window": False,
    },
    {
        "model_type": "phi3", "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "embd_pdrop": 0.0,
        "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "max_position_embeddings": 131072,
        "mlp_bias": False, "num_hidden_layers": 4, "original_max_position_embeddings": 4096,
        "partial_rotary_factor": 0.75, "resid_pdrop": 0.0, "rope_theta": 10000.0, "sliding_window": 262144,
        "rope_scaling": {"type": "longrope", "long_factor": [1.1] * 6, "short_factor": [1.0] * 6},
    },
    {
        "model_type": "gemma", "hidden_act": "gelu", "hidden_activation": None, "head_dim": 256,
        "num_hidden_layers": 4, "rope_scaling": None, "rope_theta": 10000.0,
    },
    {
        "model_type": "gemma2", "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid", "head_dim": 256,
        "final_logit_softcapping": 30.0, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "num_hidden_layers": 4, "query_pre_attn_scalar": 256, "rope_theta": 10000.0, "sliding_window": 4096,
    },
    {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "cache_implementation": "hybrid",
        "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "num_hidden_layers": 7, "query_pre_attn_scalar": 256, "rope_local_base_freq": 10000, "rope_scaling": None,
        "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6,
    },
    {
        "model_type": "qwen3_moe", "decoder_sparse_step": 1, "head_dim": 128, "max_window_layers": 48,
        "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": True, "num_experts": 128,
        "num_experts_per_tok": 8, "num_hidden_layers": 4, "output_router_logits": False, "rope_scaling": None,
        "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001, "sliding_window": None, "use_sliding_window": False,
    },
    {
        "model_type": "mixtral", "num_experts_per_tok": 2, "num_hidden_layers": 4, "num_local_experts": 8,
        "output_router_logits": False, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": None,
    },
]  # fmt: skip


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda config: config["model_type"])
def test_the_keys_of_published_configs_are_understood_as_transformers_does(
    published: dict[str, Any], tmp_path: Path
) -> None:
    from transformers import AutoConfig

    from lmcli.engine.families import read_config

    AutoConfig.for_model(**SHAPE | published).save_pretrained(tmp_path)
    assert read_config(tiny.read(tmp_path / "config.json")) == read_config(SHAPE | published)


@pytest.mark.parametrize(
    "unknown",
    [
        {"model_type": "phi3", "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"model_type": "phi3", "rope_scaling": {"type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}},
        {"model_type": "phi3", "rope_scaling": {"type": "longrope", "long_factor": [1.0] * 8}},
        {"model_type": "phi3", "lm_head_bias": True},
        {"model_type": "smollm3", "no_rope_layers": [1]},
        {"model_type": "smollm3", "layer_types": ["sliding_attention"] * 3},
        {"model_type": "gemma", "hidden_activation": "relu"},
        {"model_type": "gemma2", "sliding_window": None},
        {"model_type": "gemma3_text", "sliding_window": 512, "use_bidirectional_attention": True},
        {"model_type": "gemma3_text", "sliding_window": 512, "attn_logit_softcapping": 50.0},
        {"model_type": "gemma3_text", "sliding_window": 512, "rope_parameters": {"rope_theta": 10000.0}},
        {"model_type": "qwen3_moe", "num_experts": 4},
        {"model_type": "qwen3_moe", **EXPERTS, "num_shared_experts": 1},
        {"model_type": "mixtral", "rope_scaling": {"type": "dynamic", "factor": 2.0}},
    ],
    ids=lambda unknown: " ".join(map(str, unknown)),
)
def test_what_a_family_cannot_compute_is_left_to_transformers(unknown: dict[str, Any]) -> None:
    from lmcli.engine.config import NotUnderstood
    from lmcli.engine.families import read_config

    with pytest.raises(NotUnderstood):
        read_config(SHAPE | {"num_hidden_layers": 3} | unknown)


def test_a_head_trained_apart_is_used_though_the_config_ties_it(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny.save(tmp_path, tiny.config("llama", tie_word_embeddings=True))
    weights = load_file(tmp_path / "model.safetensors")
    apart = torch.randn(weights["model.embed_tokens.weight"].shape)
    save_file(weights | {"lm_head.weight": apart}, tmp_path / "model.safetensors", {"format": "pt"})
    ours = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    assert isinstance(ours, GenerationEngine)
    prompt = ours.tokenizer.encode(PROMPT)
    with_own_head = ours.decoder.forward(prompt)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    tied = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    assert isinstance(tied, GenerationEngine)
    assert not torch.allclose(with_own_head, tied.decoder.forward(prompt), atol=0.1)


def test_an_fp16_checkpoint_keeps_its_precision_in_decode(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", initializer_range=0.05)).half().save_pretrained(tmp_path)
    exact = engine.load(tiny.checkpoint(tmp_path, dtype="float16"), LoadOptions("cpu", "float32"))
    ours = engine.load(tiny.checkpoint(tmp_path, dtype="float16"), LoadOptions("cpu", "auto"))
    assert isinstance(exact, GenerationEngine)
    assert isinstance(ours, GenerationEngine)
    ours.prepare()
    for token in exact.tokenizer.encode(PROMPT)[:20]:
        expected, logits = exact.decoder.forward([token]), ours.decoder.forward([token])
        assert (logits - expected).norm() / expected.norm() < 0.002


@pytest.mark.parametrize(
    "unknown",
    [
        {"is_causal": False},
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "surprise": 1}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}},
        {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
        {"num_attention_heads": None},
    ],
)
def test_what_is_switched_off_missing_or_nested_is_not_guessed(unknown: dict[str, Any]) -> None:
    from lmcli.engine.config import NotUnderstood
    from lmcli.engine.families import read_config

    known = {"model_type": "llama", **{k: v for k, v in tiny.DIMENSIONS.items() if v is not None}}
    with pytest.raises(NotUnderstood):
        read_config(known | unknown)


def test_little_memory_makes_no_copies_and_stays_close_to_fp32(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("llama", initializer_range=0.05, dtype="bfloat16"))
    exact = engine.load(tiny.checkpoint(tmp_path), LoadOptions("cpu", "float32"))
    small = engine.load(tiny.checkpoint(tmp_path, dtype="bfloat16"), LoadOptions("cpu", low_memory=True))
    assert isinstance(exact, GenerationEngine)
    assert isinstance(small, GenerationEngine)
    assert isinstance(small.decoder, TorchDecoder)
    small.prepare()
    assert not any(getattr(module, "packed", None) for module in small.decoder._decoder.modules())
    for token in exact.tokenizer.encode(PROMPT):
        expected, logits = exact.decoder.forward([token]), small.decoder.forward([token])
        assert (logits - expected).norm() / expected.norm() < 0.05


def test_eight_bits_stay_close_to_fp32(tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.config("qwen2", initializer_range=0.05))
    exact = engine.load(tiny.checkpoint(tmp_path, "qwen2"), LoadOptions("cpu", "float32"))
    small = engine.load(tiny.checkpoint(tmp_path, "qwen2"), LoadOptions("cpu", bits=8))
    assert isinstance(exact, GenerationEngine)
    assert isinstance(small, GenerationEngine)
    small.prepare()
    for token in exact.tokenizer.encode(PROMPT):
        expected, logits = exact.decoder.forward([token]), small.decoder.forward([token])
        assert (logits - expected).norm() / expected.norm() < 0.06
