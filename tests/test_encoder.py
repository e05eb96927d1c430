"""Our own encoder: rows, precision, cores, and what it leaves to transformers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import tiny_translators as encoders
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from test_classifier_checkpoints import NAMES, TEXTS, assert_same, by_the_pipeline

from lmcli import engine
from lmcli.checkpoints.checkpoint import read
from lmcli.engine.config import NotUnderstood
from lmcli.engine.encoder_engine import EncoderClassifier, open_engine, understand
from lmcli.engine.encoder_tokenizer import EncoderTokenizer
from lmcli.engine.encoders import read_config
from lmcli.engine.rows import batches, fill, lay
from lmcli.engine.transformers_classifier import TransformersClassifier
from lmcli.engine.workers import in_parallel
from lmcli.types import Event, LoadOptions, Notice

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
BERT = {
    "model_type": "bert", "vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 40, "type_vocab_size": 2,
}  # fmt: skip


def load(folder: Path, dtype: str = "float32", report: Callable[[Event], None] = lambda event: None) -> Any:
    checkpoint = tiny.checkpoint(folder, tiny.read_model_type(folder), "classifier")
    return engine.load(checkpoint, LoadOptions("cpu", dtype), report)


def edit(file: Path, **fields: Any) -> None:
    encoders.write(file, {name: value for name, value in (tiny.read(file) | fields).items() if value != "gone"})


# --- rows -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 512), max_size=80))
def test_every_text_lies_whole_in_one_row(lengths: list[int]) -> None:
    rows = lay(lengths)
    assert sorted(i for row in rows for i in row.texts) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row.texts) <= row.length for row in rows)
    assert all(row.length % 32 == 0 for row in rows)


def test_hardly_a_token_of_many_sentences_rows_is_padding() -> None:
    lengths = [7 + (i * 37) % 41 for i in range(300)]
    assert sum(lengths) / sum(row.length for row in lay(lengths)) > 0.97


def test_one_short_text_takes_a_short_row() -> None:
    assert [row.length for row in lay([9])] == [32]
    assert [row.length for row in lay([130])] == [160]


@given(st.lists(st.integers(1, 200), min_size=1, max_size=60), st.integers(1, 600))
def test_batches_hold_rows_of_one_length_and_no_more_than_asked(lengths: list[int], tokens: int) -> None:
    rows = lay(lengths)
    found = list(batches(rows, tokens))
    assert [row for batch in found for row in batch] == rows
    for batch in found:
        assert len({row.length for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * batch[0].length <= tokens


def test_a_token_sees_its_own_text_and_no_other() -> None:
    texts = [[5, 6, 7], [8, 9], list(range(20)), [1] * 32]
    rows = lay([len(text) for text in texts])
    assert [row.texts for row in rows] == [(3, 2, 0, 1)]
    filled = fill(rows, texts, CPU)
    assert filled.tokens.tolist() == [*texts[3], *texts[2], *texts[0], *texts[1], *[0] * 7]
    assert filled.first.tolist() == [0, 32, 52, 55]
    assert filled.positions[50:57].tolist() == [18, 19, 0, 1, 2, 0, 1]
    assert filled.mask is not None
    assert [filled.mask[0, 0, i].sum().item() for i in (0, 32, 52, 55, 57)] == [32, 20, 3, 2, 7]
    assert fill(lay([32]), [[1] * 32], CPU).mask is None


# --- what it computes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [encoders.bert, encoders.roberta, encoders.distilbert])
def test_a_text_among_others_is_judged_as_if_alone(build: Callable[..., Any], tmp_path: Path) -> None:
    build(tmp_path, **NAMES)
    ours = load(tmp_path)
    together = ours.classify([TEXTS[(i * 5) % 6] for i in range(140)])
    alone = {text: ours.classify([text])[0] for text in TEXTS}
    for i, scores in enumerate(together):
        assert scores == pytest.approx(alone[TEXTS[(i * 5) % 6]], abs=1e-5)


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden_act": "relu"}, {"hidden_act": "gelu_new"}, {"hidden_act": "silu"}, {"layer_norm_eps": 0.3},
        {"type_vocab_size": 1}, {"num_hidden_layers": 1}, {"num_labels": 5},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_config_may_vary_is_computed_as_it_says(fields: dict[str, Any], tmp_path: Path) -> None:
    encoders.bert(tmp_path, **fields)
    assert_same(load(tmp_path).classify(TEXTS), by_the_pipeline(tmp_path, TEXTS))


@pytest.mark.parametrize("build", [encoders.bert, encoders.roberta, encoders.distilbert])
def test_the_default_precision_is_near_the_pipelines(build: Callable[..., Any], tmp_path: Path) -> None:
    build(tmp_path, **NAMES)
    scores, expected = load(tmp_path, "bfloat16").classify(TEXTS), by_the_pipeline(tmp_path, TEXTS)
    for ours, theirs in zip(scores, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=0.05)
    assert scores != load(tmp_path).classify(TEXTS)


def test_int8_is_near_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES)
    checkpoint = tiny.checkpoint(tmp_path, "bert", "classifier")
    options = LoadOptions("cpu", "float32", bits=8)
    in_int8 = open_engine(checkpoint, understand(checkpoint), options, print).classify(TEXTS)
    exact = load(tmp_path).classify(TEXTS)
    for ours, theirs in zip(in_int8, exact, strict=True):
        assert ours == pytest.approx(theirs, abs=0.2)
    assert max(abs(a["neutral"] - b["neutral"]) for a, b in zip(in_int8, exact, strict=True)) > 1e-4


def test_weights_with_the_first_names_of_norms_are_known(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES)
    expected = load(tmp_path).classify(TEXTS)
    file = tmp_path / "model.safetensors"
    weights = safetensors.torch.load_file(file)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, before in old.items():
        weights = {name.replace(new, before): weight for name, weight in weights.items()}
    weights["cls.predictions.bias"] = torch.zeros(3)  # What is left of another task's head is no matter.
    safetensors.torch.save_file(weights, file)
    ours = load(tmp_path)
    assert isinstance(ours, EncoderClassifier)
    assert ours.classify(TEXTS) == expected


def test_labels_without_names_are_numbered(tmp_path: Path) -> None:
    encoders.bert(tmp_path)
    edit(tmp_path / "config.json", id2label="gone", label2id="gone")
    assert list(load(tmp_path).classify(["Rain!"])[0]) == ["LABEL_0", "LABEL_1"]


def test_a_text_is_tokenized_once_for_its_count_and_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders.bert(tmp_path)
    tokenizer = EncoderTokenizer(tmp_path, "bert")
    seen: list[str] = []
    monkeypatch.setattr(tokenizer, "_part", lambda text: seen.append(text) or text)
    tokens = [tokenizer.encode([text])[0] for text in TEXTS]
    assert tokenizer.encode([*TEXTS, "New!"])[: len(TEXTS)] == tokens
    assert seen == [*TEXTS, "New!"]


def test_old_texts_are_forgotten_in_time(tmp_path: Path) -> None:
    encoders.bert(tmp_path)
    tokenizer = EncoderTokenizer(tmp_path, "bert")
    first = tokenizer.encode([f"a {n}" for n in range(3000)])
    assert len(tokenizer._remembered) == 2048
    assert tokenizer.encode([f"a {n}" for n in range(3000)]) == first


# --- cores ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_threads(one_thread: None) -> None:
    torch.set_num_threads(2)


def test_jobs_run_side_by_side_and_come_back_in_order(two_threads: None) -> None:
    met = threading.Barrier(2, timeout=20)

    def work(job: int) -> tuple[int, int]:
        met.wait()
        return job, torch.get_num_threads()

    assert list(in_parallel(work, range(6))) == [(job, 1) for job in range(6)]
    assert torch.get_num_threads() == 2


def test_an_error_in_a_job_is_raised_and_the_others_are_dropped(two_threads: None) -> None:
    done: list[int] = []

    def work(job: int) -> int:
        if job == 1:
            raise MemoryError
        done.append(job)
        return job

    with pytest.raises(MemoryError):
        list(in_parallel(work, range(1000)))
    assert len(done) < 999
    assert torch.get_num_threads() == 2


def test_one_job_has_all_the_cores(two_threads: None) -> None:
    assert list(in_parallel(lambda job: torch.get_num_threads(), [0])) == [2]
    assert list(in_parallel(lambda job: job, [])) == []


def test_several_cores_judge_as_one_does(two_threads: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcli.engine.encoder_engine._CPU_BATCH", 64)
    encoders.bert(tmp_path, **NAMES)
    texts = [TEXTS[(i * 5) % 6] for i in range(100)]
    scores = load(tmp_path).classify(texts)
    expected = dict(zip(TEXTS, by_the_pipeline(tmp_path, TEXTS), strict=True))
    assert_same(scores, [expected[text] for text in texts])


# --- what is left to transformers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unknown",
    [
        {"position_embedding_type": "relative_key"}, {"is_decoder": True}, {"add_cross_attention": True},
        {"hidden_act": "quick_gelu"}, {"pruned_heads": {"0": [1]}}, {"use_magic": True}, {"hidden_size": None},
        {"model_type": "deberta-v2"}, {"model_type": "../bert"}, {"model_type": "distilbert"},
    ],
    ids=str,
)  # fmt: skip
def test_an_unknown_field_of_the_config_is_never_ignored(unknown: dict[str, Any]) -> None:
    assert read_config(BERT).num_layers == 2
    with pytest.raises(NotUnderstood):
        read_config(BERT | unknown)


def test_what_older_versions_wrote_for_other_models_is_no_matter() -> None:
    dumped = {"pooler_type": "first_token_transform", "directionality": "bidi", "output_past": True, "num_beams": 1}
    read_config(BERT | dumped | {"finetuning_task": "sst-2", "pruned_heads": {}, "torchscript": False})
    sizes = {"vocab_size": 99, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 40}
    read_config(
        sizes | {"model_type": "distilbert", "sinusoidal_pos_embds": False, "tie_weights_": True, "dropout": 0.1}
    )


@pytest.mark.parametrize(
    ("file", "fields", "reason"),
    [
        ("config.json", {"hidden_act": "quick_gelu"}, "hidden_act='quick_gelu'"),
        ("tokenizer_config.json", {"do_lower_case": False}, "do_lower_case=False"),
    ],
)
def test_what_is_not_understood_runs_on_transformers_and_verbose_says_why(
    file: str, fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    encoders.bert(tmp_path, **NAMES)
    edit(tmp_path / file, **fields)
    told: list[Event] = []
    ours = load(tmp_path, report=told.append)
    assert isinstance(ours, TransformersClassifier)
    assert_same(ours.classify(TEXTS), by_the_pipeline(tmp_path, TEXTS))
    notice = next(event for event in told if isinstance(event, Notice))
    assert notice.verbose
    assert f"runs on transformers: our engine does not know {reason}" in notice.text


def write_vocab(folder: Path) -> None:
    """BERT's vocab.txt in the place of its tokenizer.json."""
    vocab = tiny.read(folder / "tokenizer.json")["model"]["vocab"]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in sorted(vocab, key=vocab.get)), encoding="utf-8")
    (folder / "tokenizer.json").unlink()


QUOTING = [*TEXTS, "  The   CAT\tsat\non the Mät, Ｍａｔ and e\u0301; 我", "", "[unk] <S> it's the</s"]


@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}, {"strip_accents": False}], ids=str)
@pytest.mark.parametrize("build", [encoders.bert, encoders.distilbert])
def test_the_first_berts_vocabularies_are_read_as_transformers_reads_them(
    build: Callable[..., Any], options: dict[str, Any], tmp_path: Path
) -> None:
    build(tmp_path, **NAMES)
    write_vocab(tmp_path)
    edit(tmp_path / "tokenizer_config.json", **options)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = EncoderTokenizer(tmp_path, tiny.read_model_type(tmp_path))
    assert ours.encode(QUOTING) == [theirs(text)["input_ids"] for text in QUOTING]
    assert len(set(map(tuple, ours.encode(QUOTING)))) == len(QUOTING)
    assert isinstance(load(tmp_path), EncoderClassifier)


@pytest.mark.parametrize("options", [{}, {"add_prefix_space": True}], ids=str)
def test_the_first_robertas_vocabularies_are_read_as_transformers_reads_them(
    options: dict[str, Any], tmp_path: Path
) -> None:
    encoders.roberta(tmp_path, **NAMES)
    (tmp_path / "tokenizer.json").unlink()
    edit(tmp_path / "tokenizer_config.json", **options)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = EncoderTokenizer(tmp_path, "roberta")
    plain = [text for text in QUOTING if "<" not in text]
    assert ours.encode(plain) == [theirs(text)["input_ids"] for text in plain]
    assert isinstance(load(tmp_path), EncoderClassifier)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "vocab.json").unlink(),
        lambda folder: encoders.write(folder / "added_tokens.json", {"<new>": 300}),
        lambda folder: edit(folder / "tokenizer_config.json", tokenizer_class="BertweetTokenizer"),
        lambda folder: edit(folder / "tokenizer_config.json", mask_token="<hidden>"),
        lambda folder: edit(folder / "tokenizer_config.json", added_tokens_decoder={"300": {"content": "<new>"}}),
    ],
)  # fmt: skip
def test_a_vocabulary_that_is_not_all_is_left_to_transformers(change: Callable[[Path], None], tmp_path: Path) -> None:
    encoders.roberta(tmp_path, **NAMES)
    (tmp_path / "tokenizer.json").unlink()
    EncoderTokenizer(tmp_path, "roberta")
    change(tmp_path)
    with pytest.raises(NotUnderstood):
        EncoderTokenizer(tmp_path, "roberta")


def test_a_byte_level_tokenizer_that_puts_a_space_first_must_say_so_in_both_files(tmp_path: Path) -> None:
    encoders.roberta(tmp_path, **NAMES)
    assert isinstance(load(tmp_path), EncoderClassifier)
    edit(tmp_path / "tokenizer_config.json", add_prefix_space=True)
    with pytest.raises(NotUnderstood, match="add_prefix_space=True"):
        EncoderTokenizer(tmp_path, "roberta")


def test_our_encoder_starts_without_transformers(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES)
    assert read(tmp_path, "tiny").kind == "classifier"
    program = (
        "import json, sys\nfrom pathlib import Path\nfrom lmcli import engine\n"
        "from lmcli.checkpoints.checkpoint import read\nfrom lmcli.types import LoadOptions\n"
        f"ours = engine.load(read(Path({str(tmp_path)!r}), 'tiny'), LoadOptions('cpu', 'float32'))\n"
        f"print(json.dumps([ours.classify({TEXTS!r}), 'transformers' in sys.modules]))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    scores, imported = json.loads(result.stdout)
    assert_same(scores, by_the_pipeline(tmp_path, TEXTS))
    assert not imported
