"""Weights in 8 and 4 bits: what is written, what it computes, and how `lmcli quantize` says what it costs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_readers
import tiny_translators as encoders
import torch
import transformers
from safetensors.torch import load_file, save_file
from scripted import folder_checkpoint, invoke, sandbox

from lmcli import engine
from lmcli.checkpoints import writing
from lmcli.checkpoints.checkpoint import read
from lmcli.checkpoints.quantized import parameters, read_bits
from lmcli.engine import foreign_weights, rebuilding, torch_engine, transformers_engine
from lmcli.engine.config import NotUnderstood
from lmcli.engine.device import Placement
from lmcli.engine.int8 import can_int8
from lmcli.engine.linear import Linear
from lmcli.engine.quantization import (
    Int4Product,
    can_int4,
    dequantize,
    quantize_groups,
    quantize_rows,
    unpack,
)
from lmcli.engine.quantized_weights import read_quantization
from lmcli.engine.torch_engine import TorchDecoder, load_decoder
from lmcli.errors import CheckpointError, LmcliError, UsageError
from lmcli.training.models import load_model
from lmcli.training.plan import Plan
from lmcli.training.recipe import Recipe
from lmcli.types import Checkpoint, Event, LoadOptions, SamplingParams, TaskResult

TOKENS = list(b"Quantized weights speak nearly as before.")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-llama")
    # 112 columns have no whole groups of 32: in 4 bits this layer stays as it is.
    tiny.save(folder, tiny.config("llama", tie_word_embeddings=True))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    (folder / "LICENSE").write_text("MIT")
    return folder


@pytest.fixture(scope="module", params=[8, 4])
def pair(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """The bits, and the folder quantized to so many."""
    target = tmp_path_factory.mktemp("quantized") / "q"
    engine.quantize(read(folder, "tiny"), target, request.param, ignore)
    return request.param, target


def ignore(event: Event) -> None:
    pass


def logits(folder: Path, placement: Placement, tokens: list[int] = TOKENS) -> torch.Tensor:
    checkpoint = read(folder, "tiny")
    decoder = TorchDecoder(load_decoder(checkpoint, torch_engine.understand(checkpoint), placement), placement)
    return decoder.forward(tokens, last=len(tokens)).clone()


def in_fp32(folder: Path, target: Path) -> Path:
    """The quantized `folder` as a plain checkpoint of what its numbers stand for."""
    target.mkdir()
    writing.copy_companions(folder, target)
    stored = load_file(folder / "model.safetensors")
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in stored.items():
        layer = name.removesuffix("_packed")
        if f"{layer}_scale" in stored:
            plain[layer] = dequantize(tensor, stored[f"{layer}_scale"], torch.float32)
        elif not name.endswith(("_scale", "_shape")):
            plain[name] = tensor
    save_file(plain, target / "model.safetensors", {"format": "pt"})
    config = tiny.read(folder / "config.json")
    del config["quantization_config"]
    (target / "config.json").write_text(json.dumps(config))
    return target


def say(folder: Path, options: LoadOptions, max_tokens: int = 40) -> str:
    loaded: Any = engine.load(read(folder, "tiny"), options)
    return TaskResult.fold(loaded.stream("Once", SamplingParams(max_tokens=max_tokens))).text


# The numbers


def test_eight_bits_miss_a_weight_by_half_a_step_at_most() -> None:
    weight = torch.randn(48, 64)
    values, scale = quantize_rows(weight)
    missed = (dequantize(values, scale.unsqueeze(1), torch.float32) - weight).abs()
    assert bool((missed <= scale.unsqueeze(1) * 0.5001).all())


def test_four_bits_are_packed_as_compressed_tensors_packs_them() -> None:
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    packed, scale = quantize_groups(weight)
    assert (packed.shape, packed.dtype, scale.shape) == ((3, 8), torch.int32, (3, 2))
    values = unpack(packed)
    words = sum(values.view(3, 8, 8)[:, :, i].long() << 4 * i for i in range(8))
    assert torch.equal(words.to(torch.int32), packed)  # the first value in the lowest bits
    restored = (values.float() - 8) * scale.repeat_interleave(32, 1)
    torch.testing.assert_close(dequantize(packed, scale, torch.float32), restored)
    assert float((restored - weight).norm() / weight.norm()) < 0.12  # a step is a sixth of the largest


def test_a_weight_of_zeros_stays_zero() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        weight = torch.zeros(2, 32, dtype=dtype)
        assert not dequantize(*quantize_groups(weight), dtype).any()
        values, scale = quantize_rows(weight)
        assert not dequantize(values, scale.unsqueeze(1), dtype).any()


@pytest.mark.skipif(not can_int4(), reason="no int4 product in this torch")
def test_the_int4_product_multiplies_with_the_stored_numbers() -> None:
    weight, x, bias = torch.randn(32, 96), torch.randn(3, 96).bfloat16().float(), torch.randn(32)
    packed, scale = quantize_groups(weight.bfloat16())
    expected = x @ dequantize(packed, scale, torch.float32).T + bias
    torch.testing.assert_close(Int4Product(packed, scale, bias)(x), expected, atol=0.1, rtol=0.02)


# The folder


def test_the_folder_computes_what_its_numbers_say(pair: tuple[int, Path], tmp_path: Path) -> None:
    bits, quantized = pair
    plain = in_fp32(quantized, tmp_path / "plain")
    expected = logits(plain, Placement(CPU, torch.float32))
    torch.testing.assert_close(logits(quantized, Placement(CPU, torch.float32, bits=bits)), expected, atol=1e-3, rtol=0)
    # A GPU gets the weights dequantized, which a placement without bits stands for here.
    torch.testing.assert_close(logits(quantized, Placement(CPU, torch.float32)), expected, atol=1e-3, rtol=0)


def test_the_same_bits_in_memory_are_the_same_numbers(pair: tuple[int, Path], folder: Path) -> None:
    bits, quantized = pair
    placement = Placement(CPU, torch.float32, bits=bits)
    assert torch.equal(logits(folder, placement), logits(quantized, placement))
    assert not torch.equal(logits(folder, placement), logits(folder, Placement(CPU, torch.float32)))


def test_the_folder_and_the_bits_in_memory_say_the_same(pair: tuple[int, Path], folder: Path) -> None:
    bits, quantized = pair
    for low_memory in (False, True):
        from_folder = say(quantized, LoadOptions("cpu", low_memory=low_memory))
        assert from_folder == say(folder, LoadOptions("cpu", bits=bits, low_memory=low_memory))
        assert from_folder


@pytest.mark.skipif(not (can_int8() and can_int4()), reason="no products in 8 and 4 bits in this torch")
def test_decode_packs_the_stored_numbers(pair: tuple[int, Path]) -> None:
    bits, quantized = pair
    checkpoint = read(quantized, "tiny")
    placement = Placement(CPU, torch.float32, packed=True, bits=bits)
    decoder = TorchDecoder(load_decoder(checkpoint, torch_engine.understand(checkpoint), placement), placement)
    decoder.forward(TOKENS[:-1])
    packed = decoder.forward(TOKENS[-1:])[0]
    expected = logits(quantized, Placement(CPU, torch.float32, bits=bits))[-1]
    assert 0 < float((packed - expected).norm() / expected.norm()) < 0.2  # The activations are rounded.


def test_eight_and_four_bits_stay_mapped(pair: tuple[int, Path]) -> None:
    bits, quantized = pair
    checkpoint = read(quantized, "tiny")
    decoder = load_decoder(
        checkpoint, torch_engine.understand(checkpoint), Placement(CPU, torch.float32, packed=True, bits=bits)
    )
    layers = [module for module in decoder.modules() if isinstance(module, Linear) and module.weight_scale is not None]
    assert len(layers) == (21 if bits == 8 else 18)
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = [
            [int(end, 16) for end in line.split()[0].split("-")]
            for line in maps.read_text().splitlines()
            if line.endswith(str(quantized / "model.safetensors"))
        ]
        assert all(any(a <= layer.weight.data_ptr() < b for a, b in mapped) for layer in layers)


def test_what_belongs_to_a_checkpoint_comes_along(pair: tuple[int, Path], folder: Path) -> None:
    bits, quantized = pair
    names = {file.name for file in folder.iterdir()}
    assert {file.name for file in quantized.iterdir()} == names
    before, after = read(folder, "tiny"), read(quantized, "tiny")
    assert (after.dtype, after.num_parameters) == (f"int{bits}", before.num_parameters)
    assert (after.license, after.instruct, after.kind) == ("mit", True, "causal")
    assert after.size_bytes < before.size_bytes
    weights = load_file(quantized / "model.safetensors")
    assert weights["model.embed_tokens.weight"].dtype is torch.float32
    scheme = tiny.read(quantized / "config.json")["quantization_config"]
    assert scheme["quant_method"] == "compressed-tensors"
    assert ("model.layers.0.mlp.down_proj" in scheme["ignore"]) == (bits == 4)


def test_only_what_we_compute_is_read_by_us(pair: tuple[int, Path]) -> None:
    bits, quantized = pair
    config = tiny.read(quantized / "config.json")
    assert read_quantization(config) == bits
    scheme = config["quantization_config"]
    weights = scheme["config_groups"]["group_0"]["weights"]
    others: list[dict[str, Any]] = [
        {"quant_method": "gptq", "bits": 4},
        {**scheme, "format": "float-quantized"},
        {**scheme, "config_groups": {"group_0": {"weights": {**weights, "symmetric": False}}}},
        {**scheme, "config_groups": {"group_0": {"weights": {**weights, "actorder": "group"}}}},
        {**scheme, "config_groups": {"a": {"weights": weights}, "b": {"weights": weights}}},
    ]
    for other in others:
        with pytest.raises(NotUnderstood):
            read_quantization({"quantization_config": other})


def test_scales_that_do_not_fit_are_an_error_in_one_line(pair: tuple[int, Path], tmp_path: Path) -> None:
    _, quantized = pair
    broken = tmp_path / "broken"
    broken.mkdir()
    writing.copy_companions(quantized, broken)
    (broken / "config.json").write_bytes((quantized / "config.json").read_bytes())
    weights = load_file(quantized / "model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight_scale"
    save_file(weights | {name: weights[name][:-1].clone()}, broken / "model.safetensors")
    with pytest.raises(CheckpointError, match="q_proj"):
        engine.load(read(broken, "broken"), LoadOptions("cpu"))


# Writing it


def test_a_full_disk_and_ctrl_c_leave_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, target = read(folder, "tiny"), tmp_path / "out" / "q"

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.quantize(checkpoint, target, 8, interrupt)
    assert list(target.parent.iterdir()) == []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rebuilding, "copy_companions", full)
    with pytest.raises(LmcliError, match="full"):
        engine.quantize(checkpoint, target, 8, ignore)
    assert list(target.parent.iterdir()) == []


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LmcliError, match="full"), writing.new_folder(tmp_path / "q", 2**62):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_folder(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "q"
    old.mkdir()
    (old / "config.json").write_text("{}")

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.quantize(read(folder, "tiny"), old, 8, interrupt)
    assert (old / "config.json").read_text() == "{}"
    assert list(tmp_path.iterdir()) == [old]


# The command


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    return sandbox(tmp_path)


def test_the_command_writes_finds_and_compares(folder: Path, here: dict[str, str]) -> None:
    result = invoke("quantize", str(folder), "--json", "-o", "small", variables=here)
    assert result.code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert (shown["name"], shown["dtype"]) == ("small", "int8")
    assert shown["size_bytes_after"] < shown["size_bytes_before"]
    assert 0.8 < shown["agreement"] <= 1
    assert 0 < shown["relative_error"] < 0.1
    assert shown["perplexity_after"] == pytest.approx(shown["perplexity_before"], rel=0.1)
    listed = json.loads(invoke("show", "small", "--json", variables=here).stdout)
    assert (listed["dtype"], listed["parameters"]) == ("int8", read(folder, "tiny").num_parameters)
    assert "small" in invoke("list", variables=here).stdout


def test_four_bits_cost_more_and_the_table_says_so(folder: Path, here: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A text of one's own. " * 4)
    result = invoke(
        "quantize", str(folder), "--bits", "4", "--text", str(tmp_path / "text.txt"), "-o", str(tmp_path / "q4"),
        variables=here,
    )  # fmt: skip
    assert result.code == 0, result.stderr
    assert "perplexity on 83 tokens" in result.stdout
    assert "same likeliest token" in result.stdout
    assert read(tmp_path / "q4", "q4").dtype == "int4"


def test_the_name_follows_from_the_checkpoints(folder: Path, here: dict[str, str]) -> None:
    assert invoke("quantize", str(folder), "-q", variables=here).code == 0
    assert (Path(here["LMCLI_DATA"]) / "checkpoints" / f"{folder.name}-int8" / "config.json").exists()


def test_a_name_that_is_taken_is_replaced_by_force_alone(folder: Path, here: dict[str, str], tmp_path: Path) -> None:
    target = str(tmp_path / "q")
    assert invoke("quantize", str(folder), "-o", target, variables=here).code == 0
    refused = invoke("quantize", str(folder), "-o", target, "--bits", "4", variables=here)
    assert (refused.code, "--force" in refused.stderr) == (2, True)
    assert invoke("quantize", str(folder), "-o", target, "--bits", "4", "--force", variables=here).code == 0
    assert read(Path(target), "q").dtype == "int4"
    own = tmp_path / "mine"
    own.mkdir()
    assert invoke("quantize", str(folder), "-o", str(own), "--force", variables=here).code == 2
    assert own.exists()


def test_what_cannot_be_quantized_is_told_in_one_line(
    folder: Path, pair: tuple[int, Path], here: dict[str, str], tmp_path: Path
) -> None:
    classifier = folder_checkpoint(tmp_path / "labels", "classifier")
    for ref, reason in ((str(pair[1]), "quantized already"), (str(classifier), "run by transformers")):
        result = invoke("quantize", ref, "-o", str(tmp_path / "out"), variables=here)
        assert result.code == 2
        assert reason in result.stderr
        assert not (tmp_path / "out").exists()
    for name in ("smollm2", "x y", "-", "model.gguf"):
        assert invoke("quantize", str(folder), "-o", name, variables=here).code in (1, 2), name


def test_bits_are_refused_where_nothing_would_come_of_them(folder: Path, tmp_path: Path) -> None:
    seq2seq: Checkpoint = replace(read(folder, "tiny"), kind="seq2seq")
    with pytest.raises(UsageError, match="4 bits"):
        engine.load(seq2seq, LoadOptions("cpu", bits=4))
    unknown = tmp_path / "unknown"
    tiny.save(unknown, tiny.config("llama"))
    config = tiny.read(unknown / "config.json")
    (unknown / "config.json").write_text(json.dumps(config | {"some_new_trick": 3}))
    with pytest.raises(UsageError, match="some_new_trick"):
        engine.load(read(unknown, "unknown"), LoadOptions("cpu", bits=8))


OTHERS = {
    "gptq": "optimum gptqmodel", "awq": "gptqmodel", "bitsandbytes": "bitsandbytes", "hqq": "hqq",
    "compressed-tensors": "compressed-tensors",
}  # fmt: skip


@pytest.mark.parametrize("method", OTHERS)
def test_what_others_quantized_names_all_it_needs(
    method: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_weights, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError) as refused:
        engine.load(read(quantized_by(method, folder, tmp_path), "it"), LoadOptions("cpu"))
    names, verb = OTHERS[method].replace(" ", " and "), "are" if " " in OTHERS[method] else "is"
    assert refused.value.message == f"it is quantized by {method}, and {names} {verb} not installed"
    assert refused.value.hint == f"install what it needs: pip install {OTHERS[method]}"
    assert refused.value.exit_code == 3


def test_a_library_of_others_that_is_there_is_not_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_weights, "find_spec", lambda name: object() if name == "optimum" else None)
    with pytest.raises(CheckpointError, match="and gptqmodel is not installed"):
        engine.load(read(quantized_by("gptq", folder, tmp_path), "gptq"), LoadOptions("cpu"))
    monkeypatch.setattr(foreign_weights, "find_spec", lambda name: object())
    foreign_weights.check_libraries(read(tmp_path / "gptq", "gptq"))


def test_what_our_list_does_not_know_transformers_names(folder: Path, tmp_path: Path) -> None:
    if find_spec("aqlm"):
        pytest.skip("a library for it is installed")
    with pytest.raises(CheckpointError, match="not installed") as refused:
        engine.load(read(quantized_by("aqlm", folder, tmp_path), "aqlm"), LoadOptions("cpu"))
    assert refused.value.hint == "install it: pip install 'aqlm'"


def test_no_library_draws_a_bar_while_a_checkpoint_loads(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lmcli import engine, checkpoints\n"
        "engine.load(checkpoints.read(Path(sys.argv[1]), 'tiny'))\n"
        "from tqdm import tqdm; print(sum(tqdm(range(4))))"
    )
    result = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("6\n", "")


def quantized_by(method: str, folder: Path, parent: Path) -> Path:
    """A copy of `folder` whose config says so."""
    copy = shutil.copytree(folder, parent / method)
    scheme = {"quant_method": method, "bits": 4, "group_size": 32, "load_in_4bit": method == "bitsandbytes"}
    scheme |= {"config_groups": {}} if method == "compressed-tensors" else {}
    (copy / "config.json").write_text(json.dumps(tiny.read(copy / "config.json") | {"quantization_config": scheme}))
    return copy


def test_packed_parameters_of_other_libraries_are_counted() -> None:
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    assert read_bits(config) == 4
    assert parameters("model.layers.0.mlp.up_proj.qweight", "I32", 100, 4) == 800
    assert parameters("model.layers.0.mlp.up_proj.qzeros", "I32", 100, 4) == 0
    assert parameters("model.layers.0.mlp.up_proj.weight", "U8", 100, 4) == 200
    assert parameters("model.layers.0.mlp.up_proj.weight.absmax", "F32", 100, 4) == 0
    assert parameters("model.embed_tokens.weight", "BF16", 100, 4) == 100
    assert read_bits({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}) == 8
    assert read_bits({}) is None


# Classifiers, readers of answers, encoder-decoders


@pytest.fixture(scope="module", params=["classifier", "qa", "seq2seq"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    """A checkpoint that is no decoder, before and after."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "seq2seq":
        encoders.marian(folder, encoders.train_pieces(folder), "eng", "deu", num_beams=1)
    elif request.param == "qa":
        tiny_readers.build(encoders.bert, folder)
    else:
        encoders.bert(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    before = read(folder, "tiny")
    engine.quantize(before, folder.with_name(f"{folder.name}-int8"), 8, ignore)
    return before, read(folder.with_name(f"{folder.name}-int8"), "tiny-int8")


def values(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_embeddings_and_linear_layers_are_kept_in_eight_bits(other: tuple[Checkpoint, Checkpoint]) -> None:
    before, after = other
    stored = values(after.path)
    rounded = {name for name, tensor in stored.items() if tensor.dtype is torch.int8}
    words = next(name for name in rounded if name.endswith(("word_embeddings.weight", "shared.weight")))
    assert stored[f"{words}_scale"].shape == (len(stored[words]), 1)
    assert any("self" in name for name in rounded)
    assert not any("norm" in name.lower() or "bias" in name or "positions" in name for name in rounded)
    assert (after.dtype, after.num_parameters, after.kind) == ("int8", before.num_parameters, before.kind)
    assert after.size_bytes < 0.5 * before.size_bytes
    card = (after.path / "README.md").read_text()
    assert card.startswith("---\nlicense: mit")
    assert "lmcli quantize --restore" in card
    scheme = tiny.read(after.path / "config.json")["quantization_config"]
    assert scheme["config_groups"]["group_0"]["targets"] == ["Linear", "Embedding"]


@pytest.mark.usefixtures("one_thread")
def test_they_compute_what_their_numbers_say(other: tuple[Checkpoint, Checkpoint], tmp_path: Path) -> None:
    before, after = other
    plain = read(in_fp32(after.path, tmp_path / "plain"), "plain")
    assert heard(after) == heard(plain)
    assert heard(after) != heard(before)


def heard(checkpoint: Checkpoint) -> Any:
    """What a checkpoint makes of a few texts, in fp32."""
    loaded: Any = engine.load(checkpoint, LoadOptions("cpu", "float32"))
    assert type(loaded).__module__.startswith(("lmcli.engine.encoder", "lmcli.engine.qa", "lmcli.engine.rewriting"))
    if checkpoint.kind == "classifier":
        return loaded.logits(encoders.TEXTS)
    if checkpoint.kind == "qa":
        return loaded.answer("Where is the cat?", encoders.TEXTS)
    written = TaskResult.fold(loaded.rewrite(encoders.TEXTS, SamplingParams(), None, "de")).text
    return written, loaded.rewriter._head.logits(torch.ones(1, 32)).tolist()


@pytest.mark.usefixtures("one_thread")
def test_the_command_says_how_often_both_agree(
    other: tuple[Checkpoint, Checkpoint], here: dict[str, str], tmp_path: Path
) -> None:
    before, _ = other
    text = tmp_path / "text.txt"
    text.write_text("The cat sat. Where is the dog? Rain fell. She reads.\n")
    result = invoke("quantize", str(before.path), "--json", "-o", "small", "--text", str(text), variables=here)
    assert result.code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["texts"] == 4
    assert 0 < shown["agreement"] <= 1
    assert 0 < shown["mean_change"] < 0.5


def test_four_bits_are_for_decoders_alone(other: tuple[Checkpoint, Checkpoint], here: dict[str, str]) -> None:
    before, _ = other
    refused = invoke("quantize", str(before.path), "--bits", "4", variables=here)
    assert (refused.code, "only they can be kept in 4 bits" in refused.stderr) == (2, True)


def test_a_decoder_with_embeddings_in_eight_bits_is_not_taken_for_one_of_ours(pair: tuple[int, Path]) -> None:
    scheme = tiny.read(pair[1] / "config.json")["quantization_config"]
    scheme["config_groups"]["group_0"]["targets"] = ["Linear", "Embedding"]
    with pytest.raises(NotUnderstood, match="embeddings"):
        read_quantization({"quantization_config": scheme})
    assert read_quantization({"quantization_config": scheme}, embeddings=True) == pair[0]


def test_what_was_quantized_is_restored_for_other_programs(
    other: tuple[Checkpoint, Checkpoint], here: dict[str, str], tmp_path: Path
) -> None:
    before, after = other
    result = invoke("quantize", "--restore", str(after.path), "-o", str(tmp_path / "back"), "-q", variables=here)
    assert result.code == 0, result.stderr
    back = read(tmp_path / "back", "back")
    assert (back.dtype, back.num_parameters) == ("float32", before.num_parameters)
    assert "8 bits" not in (back.path / "README.md").read_text()
    assert values(back.path).keys() == values(before.path).keys()
    assert tiny.read(back.path / "config.json") == tiny.read(before.path / "config.json") | {"dtype": "float32"}
    expected = values(in_fp32(after.path, tmp_path / "plain"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in values(back.path).items())


def test_four_bits_are_restored_too(pair: tuple[int, Path], tmp_path: Path) -> None:
    engine.restore(read(pair[1], "tiny"), tmp_path / "back", ignore)
    plain = in_fp32(pair[1], tmp_path / "plain")
    placement = Placement(CPU, torch.float32)
    assert torch.equal(logits(tmp_path / "back", placement), logits(plain, placement))


def test_what_is_not_quantized_is_not_restored(folder: Path, here: dict[str, str], tmp_path: Path) -> None:
    refused = invoke("quantize", "--restore", str(folder), "-o", str(tmp_path / "back"), variables=here)
    assert (refused.code, "is not quantized" in refused.stderr) == (2, True)
    gptq = quantized_by("gptq", folder, tmp_path)
    assert "cannot be restored" in invoke("quantize", "--restore", str(gptq), variables=here).stderr


@pytest.mark.parametrize("other", ["classifier"], indirect=True)
def test_training_and_transformers_begin_with_the_numbers_that_eight_bits_stand_for(
    other: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    _, after = other
    plan = Plan(Recipe("classify"), (), (), tmp_path / "out", after)
    model = load_model(plan, transformers.AutoModelForSequenceClassification, None)
    expected = values(in_fp32(after.path, tmp_path / "plain"))
    for read_by_transformers in (model, transformers_engine.load_eager(after, False)):
        stated = read_by_transformers.state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in stated.items())
        assert not hasattr(read_by_transformers.config, "quantization_config")
