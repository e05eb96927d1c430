"""GGUF files become checkpoints whose logits and tokens are those of the model they were made from."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Q
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from lmcli.checkpoints import checkpoint
from lmcli.checkpoints.gguf import convert, file, tokenizer
from lmcli.checkpoints.gguf.weights import cast
from lmcli.errors import CheckpointError

SHAPE = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "bos_token_id": 0,
    "eos_token_id": 1, "pad_token_id": None, "attn_implementation": "eager",
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}, "tie_word_embeddings": True},
    "llama-3": {
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        }
    },
    "llama-bias": {"attention_bias": True, "head_dim": 32},
    "qwen2": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "tie_word_embeddings": True},
    "qwen3": {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0}, "head_dim": 32},
}  # fmt: skip
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def tiny(family: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.split("-")[0], **SHAPE, **FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config).eval()
    for name, parameter in model.named_parameters():
        # Norms of one and biases of nought would hide a tensor that is in the wrong place.
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.2)
    return model


def write_gguf(path: Path, model: Any, quantization: Q = Q.F32, **overrides: Any) -> Path:
    """Write `model` as llama.cpp's converter does: its names, and for Llama its order of rows."""
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if head_dim := getattr(config, "head_dim", None):
        writer.add_key_length(head_dim)
    add_rope(writer, model)
    add_vocabulary(writer, **overrides)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if config.model_type == "llama" and "q_proj" in name:
            values = permute(values, config.num_attention_heads)
        elif config.model_type == "llama" and "k_proj" in name:
            values = permute(values, config.num_key_value_heads)
        kind = quantization if values.ndim > 1 else Q.F32
        writer.add_tensor(rename(name), gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rename(name: str) -> str:
    prefix = ""
    if name.startswith("model.layers."):
        _, _, layer, name = name.split(".", 3)
        prefix = f"blk.{layer}."
    stem, ending = name.rsplit(".", 1)
    return f"{prefix}{NAMES[stem]}.{ending}"


def permute(values: np.ndarray, heads: int) -> np.ndarray:
    rows = values.shape[0]
    return values.reshape(heads, 2, rows // heads // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def add_rope(writer: gguf.GGUFWriter, model: Any) -> None:
    rope = model.config.rope_parameters
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "llama3":
        # llama.cpp keeps by how much each frequency is slowed; the model keeps the slowed frequency.
        slowed = model.model.rotary_emb.inv_freq.double()
        plain = rope["rope_theta"] ** -(torch.arange(len(slowed)).double() / len(slowed))
        writer.add_tensor("rope_freqs.weight", (plain / slowed).float().numpy())


def add_vocabulary(writer: gguf.GGUFWriter, pre: str = "qwen2", **_: Any) -> None:
    alphabet = sorted(gpt2_alphabet())
    tokens = ["<|endoftext|>", "<|im_end|>", "<|im_start|>", *alphabet, "he", "ll", "hell", "hello"]
    tokens += [f"[unused{number}]" for number in range(SHAPE["vocab_size"] - len(tokens))]
    types = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["h e", "l l", "he ll", "hell o"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}")


def gpt2_alphabet() -> list[str]:
    return ByteLevel.alphabet()


def logits(model: Any) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return model(torch.randint(0, SHAPE["vocab_size"], (2, 40))).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_converted_model_computes_the_same_logits(family: str, tmp_path: Path) -> None:
    model = tiny(family)
    folder = convert(write_gguf(tmp_path / "m.gguf", model), tmp_path / "out")
    converted = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    assert converted.dtype == torch.float32
    torch.testing.assert_close(logits(converted), logits(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("quantization", "dtype"), [(Q.Q8_0, "bfloat16"), (Q.F16, "float16"), (Q.BF16, "bfloat16")])
def test_quantized_weights_come_close(quantization: Q, dtype: str, tmp_path: Path) -> None:
    model = tiny("qwen2")
    folder = convert(write_gguf(tmp_path / "m.gguf", model, quantization), tmp_path / "out")
    found = checkpoint.read(folder, "m")
    assert found.dtype == dtype
    converted = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    expected = logits(model)
    assert (logits(converted) - expected).norm() < 0.05 * expected.norm()  # rows out of order differ by more than 1


def test_the_folder_says_what_it_is(tmp_path: Path) -> None:
    folder = convert(write_gguf(tmp_path / "m.gguf", tiny("qwen3")), tmp_path / "out", origin="a test")
    found = checkpoint.read(folder, "m")
    assert (found.kind, found.model_type, found.instruct) == ("causal", "qwen3", True)
    assert found.num_parameters == sum(p.numel() for p in tiny("qwen3").parameters())
    assert "a test" in (folder / "README.md").read_text()


def test_every_token_that_ends_an_answer_stops_generation(tmp_path: Path) -> None:
    folder = convert(write_gguf(tmp_path / "m.gguf", tiny("llama")), tmp_path / "out")
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [1, 0]


def test_the_tokenizer_splits_merges_and_keeps_special_tokens_whole(tmp_path: Path) -> None:
    folder = convert(write_gguf(tmp_path / "m.gguf", tiny("llama")), tmp_path / "out")
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.tokenize("hello<|im_end|>12") == ["hello", "<|im_end|>", "1", "2"]
    text = "hello 你好 🎉\n\n  naïve\tx=1"
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False) == (
        "<|im_start|>hello<|im_end|>"
    )


def test_a_sentencepiece_vocabulary_merges_by_score_and_falls_back_to_bytes(tmp_path: Path) -> None:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = ["\u2581", "h", "e", "l", "o", "he", "ll", "hell", "\u2581hell", "lo", "\u2581h"]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * len(letters)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces + letters)
    writer.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(len(letters))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    built: Tokenizer = tokenizer.tokenizer(file.read(tmp_path / "m.gguf"))
    assert built.encode("hello").tokens == ["<s>", "\u2581hell", "o"]
    assert built.encode(" hello", add_special_tokens=False).tokens == ["\u2581", "\u2581hell", "o"]
    assert built.encode("é", add_special_tokens=False).tokens == ["\u2581", "<0xC3>", "<0xA9>"]
    assert built.decode(built.encode("hello é", add_special_tokens=False).ids) == "hello é"


def test_bfloat16_rounds_to_nearest_even_as_torch_does() -> None:
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    values[:3] = 1.00390625, 1.01171875, 3e38  # two halfway cases and a large one
    expected = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    assert np.array_equal(cast(values, "bfloat16"), expected)


def test_a_second_conversion_does_nothing(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "m.gguf", tiny("llama"))
    folder = convert(source, tmp_path / "out")
    source.write_bytes(b"gone")
    assert convert(source, tmp_path / "out") == folder


@pytest.mark.parametrize("kept", [3, 20, 2000, -5])
def test_a_file_cut_short_is_told_apart_and_leaves_nothing(kept: int, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "m.gguf", tiny("llama"))
    source.write_bytes(source.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"m\.gguf"):
        convert(source, tmp_path / "out" / "m")
    assert [f.name for f in (tmp_path / "out").iterdir()] == [".m.lock"]


def test_an_unknown_pre_tokenizer_is_refused_rather_than_guessed(tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "m.gguf", tiny("llama"), pre="nobody-knows-this")
    with pytest.raises(CheckpointError, match="nobody-knows-this"):
        convert(source, tmp_path / "out")


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "mamba")
    add_vocabulary(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(CheckpointError, match="mamba"):
        convert(tmp_path / "m.gguf", tmp_path / "out")


def test_arrays_nested_without_end_are_a_damaged_header(tmp_path: Path) -> None:
    nested = tmp_path / "nested.gguf"
    array = struct.pack("<IQ", 9, 1)  # an array of one array
    nested.write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", 9) + array * 9999
    )
    with pytest.raises(CheckpointError, match="damaged"):
        file.read(nested)
