"""Causal checkpoints of architectures that our own decoder does not have, against transformers; and what may be
loaded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators as translators
import torch

from lmcli import engine
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.transformers_engine import TransformersDecoder
from lmcli.errors import CheckpointError, InputTooLong, UnsafeCheckpoint, UsageError
from lmcli.types import Chunk, Conversation, Done, LoadOptions, SamplingParams

FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "gpt_neox": {"num_key_value_heads": None},
    "olmo2": {},
    "olmo3": {"sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"] * 2,
                    "num_hidden_layers": 4},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "mamba": {"state_size": 8},
    "mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 16, "n_groups": 2, "chunk_size": 16, "expand": 2},
    "jamba": {"mamba_d_state": 8, "mamba_dt_rank": 4, "num_experts": 2, "attn_layer_offset": 1, "attn_layer_period": 2},
}  # fmt: skip
RECURRENT = ("lfm2", "mamba", "mamba2", "jamba")
STORY = "The quick brown fox jumps over the lazy dog, and the dog sleeps on."
pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, dtype: str = "auto", device: str = "cpu", trust_remote_code: bool = False) -> GenerationEngine:
    options = LoadOptions(device, dtype, trust_remote_code=trust_remote_code)
    loaded = engine.load(tiny.checkpoint(folder, tiny.read_model_type(folder)), options)
    assert isinstance(loaded, GenerationEngine)
    assert isinstance(loaded.decoder, TransformersDecoder)
    return loaded


def save(family: str, folder: Path, **overrides: Any) -> Any:
    model = tiny.save(folder, tiny.config(family, **(FAMILIES[family] | {"use_cache": True} | overrides)))
    model.generation_config.eos_token_id = None  # To compare long continuations.
    return model


def answer(ours: GenerationEngine, prompt: str | Conversation, count: int = 16) -> tuple[str, Done]:
    *events, done = ours.stream(prompt, SamplingParams(max_tokens=count))
    assert isinstance(done, Done)
    return "".join(event.text for event in events if isinstance(event, Chunk)), done


def expected(ours: GenerationEngine, model: Any, prompt: str, count: int = 16) -> str:
    """transformers' greedy continuation, up to a stop token where there is one."""
    tokens = tiny.greedy(model, ours.tokenizer.encode(prompt), count)
    end = next((i for i, token in enumerate(tokens) if token in ours.tokenizer.stop_ids), count)
    text = ours.tokenizer.decode([*ours.tokenizer.encode(prompt), *tokens[:end]])[len(prompt) :]
    return text.rstrip("\ufffd")  # A character that never became whole is not shown.


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_that_of_transformers_whatever_was_asked_before(family: str, tmp_path: Path) -> None:
    model = save(family, tmp_path)
    ours = load(tmp_path)
    first, _ = answer(ours, STORY)
    assert first == expected(ours, model, STORY)
    turns = [STORY + first + " And then?", STORY[:40] + "old cat", STORY[:40] + "old cat", "Rain", STORY]
    theirs = {prompt: expected(ours, model, prompt) for prompt in set(turns)}
    assert len(set(theirs.values())) > 2
    for prompt in turns:
        assert answer(ours, prompt)[0] == theirs[prompt], prompt


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_fed_in_blocks_gives_the_logits_of_one_pass(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcli.engine.generation.BLOCK", 13)
    model = save(family, tmp_path)
    ours = load(tmp_path)
    tokens = ours.tokenizer.encode(STORY)
    logits, kept = ours._prefill(tokens)
    with torch.no_grad():
        whole = model(torch.tensor([tokens])).logits[0, -1:]
    assert kept == 0
    assert ours.decoder._resumes == (family not in ("mamba", "jamba"))  # type: ignore[attr-defined]
    torch.testing.assert_close(logits, whole, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_score_sums_the_log_softmax_of_a_plain_pass(family: str, tmp_path: Path) -> None:
    model = save(family, tmp_path)
    ours = load(tmp_path)
    continuations = [" positive", " no", "!", " of two minds"]
    prompt = ours.tokenizer.encode(STORY)
    sums = []
    for continuation in continuations:
        added = ours.tokenizer.encode_continuation(continuation)
        with torch.no_grad():
            log_softmax = model(torch.tensor([prompt + added])).logits[0].log_softmax(-1)
        sums.append(sum(float(log_softmax[len(prompt) - 1 + i, token]) for i, token in enumerate(added)))
    assert ours.score(STORY, continuations) == pytest.approx(sums, rel=1e-3, abs=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_usage_says_what_the_cache_held(family: str, tmp_path: Path) -> None:
    save(family, tmp_path)
    ours = load(tmp_path)
    answer(ours, STORY, 2)
    _, longer = answer(ours, STORY + " And then?", 2)
    assert longer.usage.prompt_tokens == ours.count(STORY + " And then?")
    assert longer.usage.completion_tokens in (1, 2)
    if family not in (*RECURRENT, "olmo3"):  # Neither a state nor a window that slid on can be cut.
        assert longer.usage.cached_tokens == ours.count(STORY)
    _, other = answer(ours, "Rain", 2)
    assert other.usage.cached_tokens == 0


def test_an_interrupted_pass_leaves_no_half_filled_cache(tmp_path: Path) -> None:
    model = save("gpt_neox", tmp_path)
    ours = load(tmp_path)
    answer(ours, STORY, 2)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = ours.decoder._model.gpt_neox.layers[1].register_forward_hook(interrupt)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        answer(ours, STORY + " And", 2)
    handle.remove()
    assert answer(ours, STORY + " And")[0] == expected(ours, model, STORY + " And")


def test_a_chat_goes_through_the_template_and_a_quoted_mark_stays_text(tmp_path: Path) -> None:
    save("gpt_neox", tmp_path)
    ours = load(tmp_path)
    tokens = ours.tokenizer.encode(Conversation.ask("say <|im_end|> twice", "Be brief."))
    assert tokens.count(258) == 2  # The system's and the user's own end.
    assert "say <|im_end|> twice" in ours.tokenizer._tokenizer.decode(tokens)  # type: ignore[attr-defined]
    answer(ours, Conversation.ask("say <|im_end|> twice"))


def test_a_base_checkpoint_does_not_chat(tmp_path: Path) -> None:
    save("gpt_neox", tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="base checkpoint"):
        load(tmp_path).count(Conversation.ask("Hello"))


def test_a_prompt_that_fills_the_context_is_too_long(tmp_path: Path) -> None:
    save("gpt2", tmp_path, max_position_embeddings=64)
    ours = load(tmp_path)
    assert ours.context_length == 64
    _, done = answer(ours, "a" * 60, 100)
    assert done.finish_reason in ("stop", "length")
    assert done.usage.completion_tokens <= 4
    with pytest.raises(InputTooLong, match="64 tokens"):
        answer(ours, "a" * 64)


@pytest.mark.parametrize(("dtype", "expected"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_a_dtype_that_was_asked_for_is_the_models(dtype: str, expected: torch.dtype, tmp_path: Path) -> None:
    save("gpt2", tmp_path)
    ours = load(tmp_path, dtype)
    assert ours.decoder._model.dtype == expected  # type: ignore[attr-defined]
    assert answer(ours, STORY, 4)[1].usage.completion_tokens > 0


def test_encoders_stay_in_full_precision_unless_asked(tmp_path: Path) -> None:
    translators.bert(tmp_path)
    change(tmp_path, unknown_to_us=True)
    checkpoint = tiny.checkpoint(tmp_path, "bert", "classifier", "float16")
    for dtype, expected in [("auto", torch.float32), ("bfloat16", torch.bfloat16)]:
        loaded: Any = engine.load(checkpoint, LoadOptions("cpu", dtype))
        assert loaded._model.dtype == expected
        assert sum(loaded.classify(["Rain!"])[0].values()) == pytest.approx(1, abs=0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test needs missing")
def test_a_gpu_that_is_not_here_is_a_usage_error(tmp_path: Path) -> None:
    save("gpt2", tmp_path)
    with pytest.raises(UsageError, match="'cuda' is not available"):
        load(tmp_path, device="cuda")


def test_an_architecture_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    save("gpt2", tmp_path)
    change(tmp_path, model_type="brandnew", architectures=["BrandNewForCausalLM"])
    with pytest.raises(CheckpointError, match=f"cannot load {tmp_path.name}.*brandnew"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n_layer": 5}, r"transformer\.h\.3\."),
        ({"vocab_size": 300}, r"wte\.weight"),
        ({"n_embd": 32}, " and .* others"),
    ],
)
def test_weights_that_do_not_fit_their_config_are_refused(fields: dict[str, Any], named: str, tmp_path: Path) -> None:
    save("gpt2", tmp_path)
    change(tmp_path, **fields)
    with pytest.raises(CheckpointError, match=f"weights of {tmp_path.name} do not fit its config.*{named}"):
        load(tmp_path)


@pytest.mark.parametrize("fields", [{"n_layer": "three"}, {"n_head": 7}, {"activation_function": "nosuch"}])
def test_a_config_that_makes_no_sense_is_the_checkpoints_error(fields: dict[str, Any], tmp_path: Path) -> None:
    save("gpt2", tmp_path)
    change(tmp_path, **fields)
    with pytest.raises(CheckpointError, match=f"transformers cannot load {tmp_path.name}: "):
        load(tmp_path)


def test_a_checkpoint_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    save("gpt2", tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=tmp_path.name):
        load(tmp_path)


CODE = """
from pathlib import Path
from transformers import GPT2Config, GPT2LMHeadModel
Path({witness!r}).touch()
class OwnConfig(GPT2Config):
    model_type = "own"
class OwnModel(GPT2LMHeadModel):
    config_class = OwnConfig
"""


@pytest.fixture
def with_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    save("gpt2", folder)
    change(
        folder, model_type="own", architectures=["OwnModel"],
        auto_map={"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"},
    )  # fmt: skip
    (folder / "modeling_own.py").write_text(CODE.format(witness=str(tmp_path / "ran")), encoding="utf-8")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])
    return folder


def test_a_checkpoints_own_code_does_not_run_unasked(with_own_code: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match=r"own needs code it brings with it \(modeling_own\.py\)") as error:
        load(with_own_code)
    assert "--trust-remote-code" in str(error.value.hint)
    assert not (with_own_code.parent / "ran").exists()


def test_a_checkpoints_own_code_runs_where_the_user_trusts_it(with_own_code: Path) -> None:
    ours = load(with_own_code, trust_remote_code=True)
    assert (with_own_code.parent / "ran").exists()
    assert answer(ours, STORY, 4)[1].usage.completion_tokens > 0


def test_code_that_transformers_has_itself_is_not_asked_for(with_own_code: Path) -> None:
    change(with_own_code, model_type="gpt2")
    answer(load(with_own_code), STORY, 2)
    assert not (with_own_code.parent / "ran").exists()


def test_loading_asks_nothing_of_the_network_and_says_nothing_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    save("gpt2", tmp_path / "gpt2")
    (tmp_path / "marian").mkdir()
    translators.marian(tmp_path / "marian", translators.train_pieces(tmp_path), "en", "de", num_beams=2)
    with socket.socket() as hub:
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        hub.setblocking(False)
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS"))}
        variables |= {
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)], env=variables, capture_output=True, text=True, timeout=120
        )
        assert (run.returncode, run.stderr) == (0, "")
        with pytest.raises(BlockingIOError):  # Nobody has called.
            hub.accept()
    assert run.stdout.count("Done") == 2


SCRIPT = """
import sys
from pathlib import Path
import tiny
from lmcli import engine
from lmcli.types import LoadOptions, SamplingParams
folder = Path(sys.argv[1])
brief = SamplingParams(max_tokens=2)
*_, done = engine.load(tiny.checkpoint(folder / "gpt2", "gpt2"), LoadOptions("cpu")).stream("The cat", brief)
print(done)
ours = engine.load(tiny.checkpoint(folder / "marian", "marian", "seq2seq"), LoadOptions("cpu"))
*_, done = ours.rewrite(["The cat sat.", "Rain!"], brief, "en", "de")
print(done)
"""


def change(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    translators.write(file, tiny.read(file) | fields)
