"""Classifiers of several architectures, most of them on our own encoder, against transformers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators as encoders
import transformers

from lmcli import engine
from lmcli.engine import encoder_engine
from lmcli.engine.encoder_engine import EncoderClassifier
from lmcli.engine.transformers_classifier import TransformersClassifier
from lmcli.errors import CheckpointError, InputTooLong
from lmcli.types import LoadOptions

NAMES = {
    "id2label": {0: "NEGATIVE", 1: "neutral", 2: "POSITIVE"},
    "label2id": {"NEGATIVE": 0, "neutral": 1, "POSITIVE": 2},
}
TEXTS = ["Rain!", "The cat sat", "我喜欢", "She reads a book.", "Where", "It is behind the old church."]
BUILDERS: list[Callable[..., Any]] = [
    encoders.bert, encoders.roberta, encoders.xlm_roberta, encoders.camembert, encoders.distilbert,
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, dtype: str = "float32", kind: type[Any] = EncoderClassifier) -> Any:
    loaded = engine.load(tiny.checkpoint(folder, tiny.read_model_type(folder), "classifier"), LoadOptions("cpu", dtype))
    assert isinstance(loaded, kind)
    return loaded


def by_the_pipeline(folder: Path, texts: list[str]) -> list[dict[str, float]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    classify = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    return [{entry["label"]: entry["score"] for entry in classify(text, top_k=None)} for text in texts]


def assert_same(scores: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len(scores) == len(expected)
    for ours, theirs in zip(scores, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    spread = {label: {round(each[label], 3) for each in scores} for label in scores[0]}
    assert any(len(values) > 3 for values in spread.values()), "the same score for all proves nothing"


@pytest.mark.parametrize("build", BUILDERS)
def test_the_probabilities_are_the_pipelines(build: Callable[..., Any], tmp_path: Path) -> None:
    build(tmp_path, **NAMES)
    scores = load(tmp_path).classify(TEXTS)
    assert_same(scores, by_the_pipeline(tmp_path, TEXTS))
    assert list(scores[0]) == ["NEGATIVE", "neutral", "POSITIVE"]
    assert sum(scores[0].values()) == pytest.approx(1)


def test_several_labels_may_hold_at_once(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES, problem_type="multi_label_classification")
    scores = load(tmp_path).classify(TEXTS)
    assert_same(scores, by_the_pipeline(tmp_path, TEXTS))
    assert any(abs(sum(each.values()) - 1) > 0.1 for each in scores)


def test_a_single_label_has_a_probability_too(tmp_path: Path) -> None:
    encoders.bert(tmp_path, id2label={0: "TOXIC"}, label2id={"TOXIC": 0})
    scores = load(tmp_path).classify(TEXTS)
    for ours, theirs in zip(scores, by_the_pipeline(tmp_path, TEXTS), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert len({round(each["TOXIC"], 3) for each in scores}) > 1


def test_many_texts_of_all_lengths_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_engine, "_CPU_BATCH", 128)
    encoders.bert(tmp_path)
    texts = [TEXTS[(i * 5) % 6] for i in range(140)]
    expected = dict(zip(TEXTS, by_the_pipeline(tmp_path, TEXTS), strict=True))
    assert_same(load(tmp_path).classify(texts), [expected[text] for text in texts])


@pytest.mark.parametrize(("build", "limit"), [(encoders.bert, 40), (encoders.roberta, 32), (encoders.distilbert, 40)])
def test_a_text_of_the_context_length_works_and_one_more_token_is_too_long(
    build: Callable[..., Any], limit: int, tmp_path: Path
) -> None:
    build(tmp_path)
    ours = load(tmp_path)
    assert ours.context_length == limit
    text = "a!" * 100
    fitting = next(text[:n] for n in range(len(text)) if ours.count(text[:n]) == limit)
    longer = next(text[:n] for n in range(len(text)) if ours.count(text[:n]) == limit + 1)
    assert ours.classify([fitting])[0] == pytest.approx(by_the_pipeline(tmp_path, [fitting])[0], abs=1e-5)
    with pytest.raises(InputTooLong, match=f"{limit + 1} tokens, more than the {limit} of {tmp_path.name}"):
        ours.classify(["Rain!", longer])


def test_a_tokenizer_file_that_cuts_and_pads_neither_cuts_nor_pads_here(tmp_path: Path) -> None:
    encoders.bert(tmp_path)  # Its tokenizer.json says to cut and to pad at 8 tokens.
    ours = load(tmp_path)
    assert ours.count("Rain") < 8 < ours.count("She reads a book every evening before she goes to sleep.")


def test_a_special_token_that_a_text_quotes_stays_text(tmp_path: Path) -> None:
    encoders.bert(tmp_path)
    ours = load(tmp_path)
    assert ours.count("The [SEP] cat") > ours.count("The cat") + 1


def test_a_decoder_with_a_classification_head_needs_no_token_to_pad_with(tmp_path: Path) -> None:
    config = tiny.config("llama", num_hidden_layers=2, num_labels=2, pad_token_id=None)
    tiny.save(tmp_path, config, model_class=transformers.AutoModelForSequenceClassification)
    tokenizer = tiny.read(tmp_path / "tokenizer_config.json")
    tokenizer.pop("pad_token")
    encoders.write(tmp_path / "tokenizer_config.json", tokenizer)
    ours = load(tmp_path, kind=TransformersClassifier)
    assert ours.context_length == 512
    for scores, expected in zip(ours.classify(TEXTS), by_the_pipeline(tmp_path, TEXTS), strict=True):
        assert scores == pytest.approx(expected, abs=1e-5)


def test_a_checkpoint_without_its_classification_head_is_refused(tmp_path: Path) -> None:
    encoders.bert(tmp_path)
    transformers.AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"do not fit its config: classifier\.bias"):
        load(tmp_path)


def test_no_texts_are_no_work(tmp_path: Path) -> None:
    encoders.bert(tmp_path)
    assert load(tmp_path).classify([]) == []
