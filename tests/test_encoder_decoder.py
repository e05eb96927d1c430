"""Our encoder-decoder against transformers, token for token, in every family and with every generation setting."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators as translators
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from test_translation_checkpoints import open_tokenizer
from tiny_translators import TEXTS

from lmcli import engine
from lmcli.engine.beam_search import BeamSearch
from lmcli.engine.constraints import Bans
from lmcli.engine.generation_settings import GenerationSettings
from lmcli.engine.marian_tokenizer import read_marian
from lmcli.engine.output_head import OutputHead, top
from lmcli.engine.rewriting import Clock, RewritingEngine
from lmcli.engine.seq2seq_engine import EncoderDecoderRewriter, open_engine, understand
from lmcli.engine.seq2seq_weights import load_module
from lmcli.types import LoadOptions, Notice, SamplingParams

pytestmark = pytest.mark.usefixtures("one_thread")
INPUTS = [[5, 9, 40, 3, 17, 0], [8, 0], [30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 12, 0], [7, 7, 90, 0]]


@pytest.fixture(scope="session")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translators.train_pieces(tmp_path_factory.mktemp("unigram"))


@pytest.fixture(scope="session")
def t5_pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return translators.train_pieces(tmp_path_factory.mktemp("t5"), pad_id=0, eos_id=1, unk_id=2, bos_id=-1)


def load(folder: Path, dtype: str = "float32") -> tuple[RewritingEngine, list[Any]]:
    notices: list[Any] = []
    checkpoint = tiny.checkpoint(folder, tiny.read_model_type(folder), "seq2seq")
    loaded = engine.load(checkpoint, LoadOptions("cpu", dtype), notices.append)
    assert isinstance(loaded, RewritingEngine)
    return loaded, [event for event in notices if isinstance(event, Notice)]


def written(
    loaded: RewritingEngine,
    inputs: list[list[int]],
    limit: int = 12,
    params: SamplingParams | None = None,
    **options: Any,
) -> list[list[int]]:
    assert isinstance(loaded.rewriter, EncoderDecoderRewriter)
    return loaded.rewriter.write(inputs, {"max_new_tokens": limit} | options, params or SamplingParams(), Clock())


def generated(model: Any, inputs: list[list[int]], limit: int = 12, **options: Any) -> list[list[int]]:
    """What transformers writes for each input alone, up to its end."""
    rows = []
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    for tokens in inputs:
        ids = torch.tensor([tokens])
        row = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False,
            **({"forced_eos_token_id": None} | options),
        )[0, 1:].tolist()  # fmt: skip
        end = next((i for i, token in enumerate(row) if token in ends), len(row) - 1)
        rows.append(row[: end + 1])
    return rows


SETTINGS: list[dict[str, Any]] = [
    {},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2, "renormalize_logits": True},
    {"min_length": 7},
    {"min_new_tokens": 6},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 1.7, "renormalize_logits": True, "no_repeat_ngram_size": 3},
    {"forced_bos_token_id": 11},
    {"eos_token_id": [0, 20, 21]},
]
OF_BEAMS: list[dict[str, Any]] = [
    {"length_penalty": 2.0, "early_stopping": True},
    {"length_penalty": 0.2},
    {"length_penalty": -1.0, "early_stopping": "never"},
    {"length_penalty": 1.5, "early_stopping": "never"},
]
CASES = [(options, num_beams) for options in SETTINGS for num_beams in (1, 4)] + [(options, 4) for options in OF_BEAMS]


@pytest.mark.parametrize(("options", "num_beams"), CASES, ids=str)
def test_a_checkpoints_generation_settings_mean_what_they_mean_in_transformers(
    options: dict[str, Any], num_beams: int, unigram: Path, tmp_path: Path
) -> None:
    saved = {key: value for key, value in options.items() if key != "eos_token_id"}
    model = translators.marian(tmp_path, unigram, "en", "de", eos_bias=7.0, num_beams=num_beams, **saved)
    if "eos_token_id" in options:
        model.generation_config.eos_token_id = options["eos_token_id"]
        model.generation_config.save_pretrained(tmp_path)
    expected = generated(model, INPUTS)
    assert len(set(map(tuple, expected))) > 1
    ours, notices = load(tmp_path)
    assert isinstance(ours.rewriter, EncoderDecoderRewriter), notices
    assert written(ours, INPUTS) == expected


@pytest.mark.parametrize("num_beams", [1, 3])
def test_words_of_one_and_of_several_tokens_are_avoided(num_beams: int, unigram: Path, tmp_path: Path) -> None:
    model = translators.marian(tmp_path, unigram, "en", "de", num_beams=num_beams)
    free = generated(model, INPUTS)
    said = next(row for row in free if len(row) > 4)
    model.generation_config.bad_words_ids = [said[:1], said[1:3], said[2:5], [0]]
    model.generation_config.save_pretrained(tmp_path)
    expected = generated(model, INPUTS)
    assert expected != free
    assert written(load(tmp_path)[0], INPUTS) == expected


T5_VARIANTS: list[dict[str, Any]] = [
    {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    {"feed_forward_proj": "gated-silu", "num_decoder_layers": 1},
    {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 10, "layer_norm_epsilon": 0.1},
]


@pytest.mark.parametrize("variant", T5_VARIANTS, ids=str)
@pytest.mark.parametrize("family", ["T5", "MT5"])
def test_the_t5_family_in_its_variants(family: str, variant: dict[str, Any], t5_pieces: Path, tmp_path: Path) -> None:
    translators.t5(tmp_path, t5_pieces, None)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=200, d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=3, initializer_factor=3.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **variant,
    )  # fmt: skip
    model = translators.save(tmp_path, getattr(transformers, f"{family}ForConditionalGeneration"), config, num_beams=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name:
                parameter.uniform_(0.5, 1.5)
    if not variant.get("tie_word_embeddings", True):
        model.lm_head.weight = torch.nn.Parameter(torch.randn(200, 32) * 0.3)
    model.save_pretrained(tmp_path)
    reread = type(model).from_pretrained(tmp_path).eval()
    inputs = [[*row[:-1], 1] for row in [*INPUTS, list(range(3, 40))]]
    ours, notices = load(tmp_path)
    assert isinstance(ours.rewriter, EncoderDecoderRewriter), notices
    assert written(ours, inputs, 20) == generated(reread, inputs, 20)


@pytest.mark.parametrize("family", ["bart", "mbart", "m2m_100", "marian"])
def test_norms_and_biases_of_every_layer_are_used(family: str, unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    config = transformers.AutoConfig.for_model(
        family, **translators.SIZES, vocab_size=120, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        decoder_start_token_id=2, scale_embedding=family != "bart", activation_function="gelu_new",
    )  # fmt: skip
    model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.3)
    if family != "m2m_100":
        model.final_logits_bias.normal_(0, 0.5)
    model.save_pretrained(tmp_path)
    model.generation_config.eos_token_id = 2
    understood = understand(tiny.checkpoint(tmp_path, family, "seq2seq"))
    config, options = understood.config, understood.generation
    module, head = load_module(tmp_path, config, torch.device("cpu"), torch.float32)
    rewriter = EncoderDecoderRewriter(module, OutputHead(*head, config.logits_scale, False), options, 64)
    inputs = [[*row[:-1], 2] for row in INPUTS]
    ours = rewriter.write(inputs, {"max_new_tokens": 12, "num_beams": 3}, SamplingParams(), Clock())
    assert ours == generated(model, inputs, num_beams=3)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_sources_that_end_early_leave_the_others_as_they_are(num_beams: int, unigram: Path, tmp_path: Path) -> None:
    model = translators.marian(tmp_path, unigram, "en", "de", eos_bias=0.0, num_beams=num_beams, no_repeat_ngram_size=1)
    model.generation_config.eos_token_id = [0, *range(5, 130, 12)]
    model.generation_config.save_pretrained(tmp_path)
    ours, _ = load(tmp_path)
    inputs = [[3 + (7 * i * j + i) % 100 for j in range(1 + i % 9)] + [0] for i in range(24)]
    alone = [written(ours, [row], 40)[0] for row in inputs]
    assert len({len(row) for row in alone}) > 3
    assert written(ours, inputs, 40) == alone


def test_an_answer_ends_where_the_positions_do(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de", eos_bias=-9.0)
    assert {len(row) for row in written(load(tmp_path)[0], INPUTS, 1000)} == {64}


def test_eight_bits_say_nearly_what_fp32_says(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    checkpoint = tiny.checkpoint(tmp_path, "marian", "seq2seq")
    small = open_engine(checkpoint, understand(checkpoint), LoadOptions("cpu", bits=8), lambda event: None)
    exact = written(load(tmp_path)[0], INPUTS)
    agreeing = [one == other for row, rows in zip(exact, written(small, INPUTS), strict=True)
                for one, other in zip(row, rows, strict=False)]  # fmt: skip
    assert sum(agreeing) > 0.7 * sum(map(len, exact))


def test_what_is_drawn_for_a_text_does_not_depend_on_those_beside_it(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    ours, _ = load(tmp_path)
    params = SamplingParams(temperature=2.0, top_k=30, seed=7)
    together = written(ours, INPUTS, params=params)
    assert together == [written(ours, [row], params=params)[0] for row in INPUTS]
    assert together != written(ours, INPUTS)


@pytest.mark.parametrize(
    ("file", "unknown"),
    [
        ("config.json", {"add_final_layer_norm": True}),
        ("config.json", {"surprise": 1}),
        ("config.json", {"activation_function": "quick_gelu"}),
        ("generation_config.json", {"encoder_no_repeat_ngram_size": 2}),
        ("generation_config.json", {"suppress_tokens": [7]}),
    ],
)
def test_what_we_do_not_know_goes_to_transformers_and_verbose_says_why(
    file: str, unknown: dict[str, Any], unigram: Path, tmp_path: Path
) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    translators.write(tmp_path / file, tiny.read(tmp_path / file) | unknown)
    ours, notices = load(tmp_path)
    assert not isinstance(ours.rewriter, EncoderDecoderRewriter)
    reason = str(next(iter(unknown.values()))) if "activation" in str(unknown) else next(iter(unknown))
    assert any(reason in notice.text and notice.verbose for notice in notices)


def test_positions_that_an_old_file_carries_are_no_misfit(unigram: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model = translators.marian(tmp_path, unigram, "en", "de")
    weights = load_file(tmp_path / "model.safetensors")
    for stack in ("encoder", "decoder"):
        weights[f"model.{stack}.embed_positions.weight"] = model.get_parameter(f"model.{stack}.embed_positions.weight")
    save_file({k: v.detach().clone() for k, v in weights.items()}, tmp_path / "model.safetensors", {"format": "pt"})
    assert written(load(tmp_path)[0], INPUTS) == generated(model, INPUTS)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_the_default_precision_says_what_fp32_says(num_beams: int, unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de", num_beams=num_beams)
    exact, fast = (written(load(tmp_path, dtype)[0], INPUTS) for dtype in ("float32", "auto"))
    agreeing = sum(one == other for one, other in zip(exact, fast, strict=True))
    assert agreeing >= len(INPUTS) - 1  # A near tie may fall otherwise.


@pytest.mark.parametrize("renormalize", [False, True])
def test_a_piece_of_the_vocabulary_that_is_banned_whole_counts_as_it_should(renormalize: bool) -> None:
    weight = torch.randn(4097, 16, generator=torch.Generator().manual_seed(5))
    logits = weight[:3] @ weight.T
    allowed = logits.clone()
    allowed[:, 4096] = -torch.inf
    best = OutputHead(weight, None, 1.0, False).best(weight[:3], 2, Bans((4096,)), renormalize, sums=True)
    expected = allowed - (allowed if renormalize else logits).logsumexp(-1, keepdim=True)
    torch.testing.assert_close(best.log_probs, expected.topk(2, -1).values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("renormalize", [False, True])
def test_an_int8_head_finds_the_best_and_weighs_them_truly(renormalize: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(20_000, 64, generator=generator) * 0.3, torch.randn(20_000, generator=generator)
    x = torch.randn(9, 64, generator=generator)
    logits = x @ weight.T + bias
    bans = Bans((int(logits[0].argmax()),), torch.tensor([4]), logits[4].argmax().view(1))
    allowed = logits.clone()
    bans.apply(allowed)
    expected = allowed - (allowed if renormalize else logits).logsumexp(-1, keepdim=True)
    for int8, tolerance in [(False, 1e-4), (True, 2e-2)]:
        best = OutputHead(weight, bias, 1.0, int8).best(x, 6, bans, renormalize, sums=True)
        values, tokens = expected.topk(6, -1)
        assert torch.equal(best.tokens, tokens)
        torch.testing.assert_close(best.log_probs, values, rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.integers(1, 3000), st.integers(1, 12), st.integers(0, 1000))
def test_the_largest_by_blocks_are_the_largest(R: int, N: int, k: int, seed: int) -> None:
    values = torch.randn(R, N, generator=torch.Generator().manual_seed(seed))
    found, places = top(values, min(k, N))
    assert torch.equal(found, values.topk(min(k, N), -1).values)
    assert torch.equal(values.gather(-1, places), found)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.integers(0, 10_000))
def test_beams_that_hold_everything_find_the_best_of_all(V: int, T: int, penalty: float, seed: int) -> None:
    """A model whose next token depends on the last two: token 0 ends."""
    table = torch.randn(V, V, V, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1)
    ends = [(*middle, 0) for n in range(T) for middle in itertools.product(range(1, V), repeat=n)]
    ends += list(itertools.product(range(1, V), repeat=T))  # cut at the limit

    def score(sequence: tuple[int, ...]) -> float:
        before = (1, 1, *sequence)
        total = sum(float(table[before[i], before[i + 1], token]) for i, token in enumerate(sequence))
        return total / len(sequence) ** penalty

    search = BeamSearch(
        GenerationSettings(1, (0,), T, num_beams=max(len(ends), 2), length_penalty=penalty), 1, torch.device("cpu")
    )
    while True:
        written = torch.cat((torch.ones_like(search.written[..., :1]), search.written), -1)
        log_probs = table[written[..., -2], written[..., -1]]
        missing = max(0, search.candidates - log_probs.shape[1] * V)
        tokens = torch.arange(V).expand_as(log_probs)
        search.advance(
            torch.nn.functional.pad(log_probs, (0, missing), value=-torch.inf),
            torch.nn.functional.pad(tokens, (0, missing)),
        )
        if search.finished().all():
            break
    assert score(tuple(search.best(0))) == pytest.approx(max(map(score, ends)), abs=1e-4)


def test_marians_tokenizer_is_that_of_transformers(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "eng", "zho", (">>cmn_Hans<<",))
    ours, theirs = read_marian(tmp_path), open_tokenizer(tmp_path)
    assert ours is not None
    texts = [*TEXTS, "", "  two  spaces ", "A\nline\tand a tab", "日本語 🦊 ünïcödé", ">>cmn_Hans<< The cat",
             ">>xxx<< cat", "a << b >> c", ">> no mark"]  # fmt: skip
    for text in texts:
        tokens = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == tokens
        assert ours.decode(tokens) == theirs.decode(tokens, skip_special_tokens=True)
    assert ours.get_vocab() == theirs.get_vocab()
    assert (ours.source_lang, ours.target_lang) == ("eng", "zho")


def test_a_tokenizer_with_tokens_of_its_own_is_left_to_transformers(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    file = tmp_path / "tokenizer_config.json"
    known = tiny.read(file)
    assert read_marian(tmp_path) is not None
    for unknown in ({"separate_vocabs": True}, {"added_tokens_decoder": {"9": {"content": "<x>"}}}, {"eos_token": "!"}):
        translators.write(file, known | unknown)
        assert read_marian(tmp_path) is None


def test_marian_runs_without_transformers(unigram: Path, tmp_path: Path) -> None:
    translators.marian(tmp_path, unigram, "en", "de")
    program = (
        "import sys; from pathlib import Path; from lmcli import engine; from lmcli.types import *\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "checkpoint = Checkpoint('m', folder, None, 'marian', 'seq2seq', 'float32', 1, 1)\n"
        "ours = engine.load(checkpoint, LoadOptions('cpu'))\n"
        "*_, done = ours.rewrite(['The cat.'], SamplingParams(max_tokens=3), 'en', 'de')\n"
        "assert done.usage.completion_tokens\n"
        "sys.exit('transformers' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
