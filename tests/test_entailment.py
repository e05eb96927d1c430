"""Checkpoints of natural language inference against transformers' own zero-shot pipeline, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators as encoders
import transformers

from lmcli import engine
from lmcli.engine.encoder_engine import EncoderClassifier
from lmcli.engine.transformers_classifier import TransformersClassifier
from lmcli.errors import InputTooLong
from lmcli.tasks.classify import Classify
from lmcli.types import Label, LoadOptions

NAMES = {
    "id2label": {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"},
    "label2id": {"CONTRADICTION": 0, "NEUTRAL": 1, "ENTAILMENT": 2},
}
TURNED = {
    "id2label": {0: "entailment", 1: "neutral", 2: "contradiction"},
    "label2id": {"entailment": 0, "neutral": 1, "contradiction": 2},
}
TEXTS = ["Rain fell.", "The cat sat", "我喜欢", "Where?"]
LABELS = ["rain", "cat", "a book"]
BUILDERS: list[Callable[..., Any]] = [
    encoders.bert, encoders.roberta, encoders.xlm_roberta, encoders.camembert, encoders.distilbert,
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, kind: type[Any] = EncoderClassifier) -> Any:
    loaded = engine.load(
        tiny.checkpoint(folder, tiny.read_model_type(folder), "classifier"), LoadOptions("cpu", "float32")
    )
    assert isinstance(loaded, kind)
    return loaded


def by_the_pipeline(folder: Path, multi: bool, form: str = "It is {}.") -> list[dict[str, float]]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    classify = transformers.pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device="cpu")
    found = [classify(text, LABELS, hypothesis_template=form, multi_label=multi) for text in TEXTS]
    return [dict(zip(each["labels"], each["scores"], strict=True)) for each in found]


def ours(loaded: Any, multi: bool, form: str = "It is {label}.") -> list[dict[str, float]]:
    task = Classify({label: label for label in LABELS}, multi, hypothesis=form)
    runs = task.run_many(loaded, TEXTS)
    return [next(event for event in events if isinstance(event, Label)).scores for events in runs]


def assert_same(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    for own, theirs in zip(found, expected, strict=True):
        assert own == pytest.approx(theirs, abs=1e-5)
    assert len({round(each["rain"], 5) for each in found}) > 2, "the same for all proves nothing"


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("names", [NAMES, TURNED], ids=["last", "first"])
@pytest.mark.parametrize("build", BUILDERS)
def test_the_probabilities_are_the_pipelines(
    build: Callable[..., Any], names: dict[str, Any], multi: bool, tmp_path: Path
) -> None:
    build(tmp_path, **names)
    assert_same(ours(load(tmp_path), multi), by_the_pipeline(tmp_path, multi))


def test_a_hypothesis_of_ones_own_is_the_pipelines_template(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES)
    form = "{label} is old."
    assert_same(ours(load(tmp_path), False, form), by_the_pipeline(tmp_path, False, "{} is old."))


def test_an_architecture_of_transformers_takes_pairs_too(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES, position_embedding_type="relative_key")
    assert_same(ours(load(tmp_path, TransformersClassifier), False), by_the_pipeline(tmp_path, False))


@pytest.mark.parametrize("build", BUILDERS)
def test_the_segments_of_a_pair_are_told_apart_and_batches_change_nothing(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    build(tmp_path, **NAMES)
    loaded = load(tmp_path)
    pairs = [(text, f"It is {label}.") for text in TEXTS for label in LABELS]
    together = loaded.logits([text for text, _ in pairs], [second for _, second in pairs])
    for (text, second), scores in zip(pairs, together, strict=True):
        assert scores == pytest.approx(loaded.logits([text], [second])[0], abs=1e-4)
    assert loaded.logits(["a"], ["b"])[0] != pytest.approx(loaded.logits(["b"], ["a"])[0], abs=1e-4)
    assert loaded.logits(["a b"])[0] != pytest.approx(loaded.logits(["a"], ["b"])[0], abs=1e-4)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_pair_has_no_more_tokens_than_its_texts_together_and_a_longer_one_is_refused(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    build(tmp_path, **NAMES)
    loaded = load(tmp_path)
    for text in TEXTS:
        tokens, _ = loaded._tokenizer.encode_pairs([text], ["It rains."])
        assert len(tokens[0]) <= loaded.count(text) + loaded.count("It rains.")
    with pytest.raises(InputTooLong):
        loaded.logits(["Rain! " * 40], ["It rains."])


def test_a_hypothesis_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES)
    with pytest.raises(InputTooLong, match="leaves no room"):
        ours(load(tmp_path), False, "It rains. " * 20 + "{label}")


def test_a_long_text_is_judged_in_parts_beside_its_hypotheses(tmp_path: Path) -> None:
    encoders.bert(tmp_path, **NAMES)
    task = Classify({"a": "a", "b": "b"}, hypothesis="{label}.")
    found = [event for event in task.run(load(tmp_path), "Rain fell all day. " * 12) if isinstance(event, Label)]
    assert sum(found[0].scores.values()) == pytest.approx(1)
