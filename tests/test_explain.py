"""lmcli explain: which words carry a label, by leaving them out and by gradients, and whether that is true."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_translators as encoders
import torch
import transformers
from scripted import ScriptedEngine, Terminal, checkpoint, invoke

from lmcli import engine
from lmcli.engine.encoder_engine import EncoderClassifier
from lmcli.engine.transformers_classifier import TransformersClassifier
from lmcli.errors import InputTooLong, UsageError
from lmcli.explanations import Weight
from lmcli.protocols import Target
from lmcli.tasks.classify import Classify
from lmcli.tasks.explain import Explain
from lmcli.tasks.sentiment import Sentiment
from lmcli.types import Label, LoadOptions

METHODS = ("occlusion", "integrated-gradients")
NAMES = {
    "id2label": {0: "negative", 1: "neutral", 2: "positive"},
    "label2id": {"negative": 0, "neutral": 1, "positive": 2},
}
TEXT = "The old cat sat, behind the church!"
pytestmark = pytest.mark.usefixtures("one_thread")


def load(folder: Path, kind: type[Any] = EncoderClassifier) -> Any:
    found = tiny.checkpoint(folder, tiny.read_model_type(folder), "classifier")
    loaded = engine.load(found, LoadOptions("cpu", "float32"))
    assert isinstance(loaded, kind)
    return loaded


def label(opened: Any, text: str, **how: Any) -> Label:
    task = Explain(how.pop("inner", Sentiment()), **how)
    return next(event for event in task.run(opened, text) if isinstance(event, Label))


def weights(found: Label) -> dict[str, float]:
    assert found.explanation
    return {word.text: word.weight for word in found.explanation.words}


# --- gradients ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    encoders.bert(folder, **NAMES)
    return folder


def on_transformers(folder: Path, copy: Path) -> Any:
    """The same checkpoint, with something in its config that our encoder does not know."""
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    encoders.write(copy / "config.json", tiny.read(copy / "config.json") | {"unheard_of": 1})
    return load(copy, TransformersClassifier)


def by_transformers(folder: Path, text: str, name: str) -> dict[tuple[int, int], float]:
    """The integral of the gradient of a label's probability, in two hundred steps, each token's by its characters."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    encoding = tokenizer(text, return_offsets_mapping=True, truncation=False, padding=False)
    words, masks = (
        model.get_input_embeddings()(torch.tensor([ids])).detach()
        for ids in (encoding["input_ids"], [2, *[4] * (len(encoding["input_ids"]) - 2), 3])
    )
    total = torch.zeros_like(words)
    for step in range(200):
        at = (masks + (step + 0.5) / 200 * (words - masks)).requires_grad_()
        model(inputs_embeds=at).logits.softmax(-1)[0, model.config.label2id[name]].backward()
        total += at.grad / 200
    sums = (total * (words - masks)).sum(-1)[0].tolist()
    return {(a, b): weight for (a, b), weight in zip(encoding["offset_mapping"], sums, strict=True) if b > a}


def test_integrated_gradients_are_what_transformers_gives(bert: Path) -> None:
    ours = load(bert)
    found = ours.attribute(TEXT, Target(("positive",)))
    expected = by_transformers(bert, TEXT, "positive")
    assert max(map(abs, expected.values())) > 0.02
    assert {(each.start, each.end): each.weight for each in found} == pytest.approx(expected, rel=0.05, abs=1e-3)
    assert [TEXT[each.start : each.end] for each in found] == [each.text for each in found]


def test_integrated_gradients_add_up_to_what_the_text_says_more_than_one_of_masks(bert: Path) -> None:
    ours = load(bert)
    for own in (("positive",), ("negative", "neutral")):
        found = ours.attribute("The old cat sat behind the church", Target(own))
        (whole,) = ours.classify(["The old cat sat behind the church"])
        model = transformers.AutoModelForSequenceClassification.from_pretrained(bert)
        masks = torch.tensor([[2, *[4] * 7, 3]])  # [CLS], seven times [MASK], [SEP]
        with torch.no_grad():
            blank = model(masks).logits.softmax(-1)[0].tolist()
        gained = sum(whole[name] - blank[model.config.label2id[name]] for name in own)
        assert abs(gained) > 0.01
        assert sum(each.weight for each in found) == pytest.approx(gained, abs=2e-3)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_both_engines_find_the_same(family: str, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    getattr(encoders, family)(tmp_path / "ours", **NAMES)
    ours, theirs = load(tmp_path / "ours"), on_transformers(tmp_path / "ours", tmp_path / "theirs")
    for text in ("The 猫 sat on it", "the [SEP] old </s> cat"):
        target = Target(("positive",), among=("positive", "negative"))
        mine, other = (each.attribute(text, target) for each in (ours, theirs))
        assert [(each.text, each.start, each.end) for each in mine] == [
            (each.text, each.start, each.end) for each in other
        ]
        assert [each.weight for each in mine] == pytest.approx([each.weight for each in other], rel=1e-3, abs=1e-6)
        # A special token that is quoted is text, in its place.
        assert {place for each in mine for place in range(each.start, each.end)} == {
            place for place, character in enumerate(text) if character != " "
        }
        assert all(text[each.start : each.end] == each.text for each in mine)


def test_a_checkpoint_stored_in_8_bits_is_explained_alike(bert: Path, tmp_path: Path) -> None:
    engine.quantize(tiny.checkpoint(bert, "bert", "classifier"), tmp_path / "int8", 8, lambda event: None)
    plain, stored = (load(folder).attribute(TEXT, Target(("positive",))) for folder in (bert, tmp_path / "int8"))
    assert [each.weight for each in stored] == pytest.approx([each.weight for each in plain], abs=0.05)
    assert [each.weight for each in stored] != [each.weight for each in plain]


def test_a_share_of_some_labels_is_what_is_explained(bert: Path) -> None:
    ours = load(bert)
    among = ours.attribute(TEXT, Target(("positive",), ("positive", "negative")))
    against = ours.attribute(TEXT, Target(("negative",), ("positive", "negative")))
    assert [each.weight for each in among] == pytest.approx([-each.weight for each in against], abs=1e-6)
    alone = ours.attribute(TEXT, Target(("positive",)))
    assert [each.weight for each in among] != pytest.approx([each.weight for each in alone], abs=1e-3)


def test_a_text_that_exceeds_the_context_is_refused_by_the_engine_and_taken_in_parts_by_the_task(bert: Path) -> None:
    ours = load(bert)
    with pytest.raises(InputTooLong):
        ours.attribute("cat " * 60, Target(("positive",)))
    text = "The old cat sat behind the church. " * 8
    found = label(ours, text, method="integrated-gradients").explanation
    assert found
    assert found.words
    assert all(text[word.start : word.end] == word.text for word in found.words)
    assert len(found.words) < len(text.split())


# --- whether it is true ---------------------------------------------------------------------------------------------

# Without a label for sentences that say nothing, one could be told by the other's absence.
KEYS = {"bad": ("rain", "day", "mat"), "good": ("moon", "park", "book"), "neither": ("the", "cat")}
FILLERS = (
    "the",
    "cat",
    "sat",
    "and",
    "looked",
    "at",
    "where",
    "is",
    "station",
    "it",
    "behind",
    "old",
    "church",
    "every",
)


def sentence(draw: random.Random, label: str) -> str:
    words = [draw.choice(FILLERS) for _ in range(draw.randrange(7, 13))]
    words.insert(draw.randrange(len(words) + 1), draw.choice(KEYS[label]))
    return " ".join(words)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that was taught which label three words have, and three others: one of them decides a sentence."""
    folder = tmp_path_factory.mktemp("taught")
    model = encoders.bert(
        folder,
        id2label=dict(enumerate(KEYS)),
        initializer_range=0.1,
        num_hidden_layers=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    draw = random.Random(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(100):
        labels = [draw.randrange(3) for _ in range(16)]
        texts = [sentence(draw, list(KEYS)[label]) for label in labels]
        batch = tokenizer(texts, truncation=False, padding=True, return_tensors="pt")
        loss = model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=torch.tensor(labels)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1
    model.eval().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_without_the_heaviest_words_a_label_falls_further_than_without_random_ones(method: Any, taught: Path) -> None:
    ours, draw = load(taught), random.Random(4)
    keys = 0
    falls: list[tuple[float, float]] = []
    for name in ("good", "bad") * 6:
        found = label(ours, sentence(draw, name), inner=Classify(), method=method, check=True)
        assert found.name == name
        assert found.explanation
        assert found.explanation.faithfulness
        heaviest = max(found.explanation.words, key=lambda word: word.weight)
        keys += heaviest.text in KEYS[name]
        checked = found.explanation.faithfulness
        falls.append((found.score - checked.without_heaviest, found.score - checked.without_random))
    assert keys >= 11
    heavy, chance = (sum(column) / len(falls) for column in zip(*falls, strict=True))
    assert heavy > chance + 0.2, (heavy, chance)


def test_why_another_label_is_not_the_likeliest(taught: Path) -> None:
    ours = load(taught)
    text = "the cat sat at the moon and looked behind the old church"
    for method in METHODS:
        usual, other = (label(ours, text, inner=Classify(), method=method, label=why) for why in (None, "neither"))
        assert usual.name == other.name == "good"
        assert usual.explanation
        assert other.explanation
        assert (usual.explanation.label, other.explanation.label) == ("good", "neither")
        assert weights(usual)["moon"] > 0.3
        assert weights(other)["moon"] < -0.3


# --- the command ----------------------------------------------------------------------------------------------------


def by_word(text: str) -> dict[str, float]:
    share = (1 + text.count("good")) / (2 + text.count("good") + text.count("bad"))
    return {"POSITIVE": share, "NEGATIVE": 1 - share}


def classifier(**options: Any) -> ScriptedEngine:
    return ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=by_word, **options)


@pytest.mark.parametrize("arguments", [["explain"], ["explain", "label"]], ids=" ".join)
def test_a_text_is_explained_whether_or_not_the_command_is_named(arguments: list[str]) -> None:
    result = invoke(*arguments, "so good", engine=classifier())
    assert (result.code, result.stdout) == (0, "positive\t0.6667\tgood +0.167, so +0.000\n")
    record = json.loads(invoke(*arguments, "--json", "so good", engine=classifier()).stdout)
    assert record["task"] == "explain"
    assert record["explanation"] == {
        "method": "occlusion", "label": "positive",
        "words": [
            {"text": "so", "start": 0, "end": 2, "weight": 0.0},
            {"text": "good", "start": 3, "end": 7, "weight": pytest.approx(1 / 6)},
        ],
    }  # fmt: skip


def test_a_command_is_named_before_a_text_of_its_name() -> None:
    result = invoke("explain", "label", "tokens", engine=classifier())
    assert result.stdout.startswith("positive\t0.5000\ttokens")


def test_gradients_gather_the_weights_of_a_words_tokens() -> None:
    record = json.loads(
        invoke("explain", "--json", "--method", "integrated-gradients", "so good!", engine=classifier()).stdout
    )
    assert record["explanation"]["words"] == [
        {"text": "so", "start": 0, "end": 2, "weight": pytest.approx(0.1)},
        {"text": "good", "start": 3, "end": 7, "weight": pytest.approx(1.8)},
        {"text": "!", "start": 7, "end": 8, "weight": pytest.approx(0.7)},
    ]


def test_the_labels_of_a_classifier_that_stand_for_one_are_explained_together() -> None:
    asked: list[Target] = []

    class Stars(ScriptedEngine):
        def attribute(self, text: str, target: Target) -> list[Weight]:
            asked.append(target)
            return super().attribute(text, target)

    shares = {"1 star": 0.1, "2 stars": 0.1, "3 stars": 0.1, "4 stars": 0.3, "5 stars": 0.4}
    stars = Stars(checkpoint=checkpoint("classifier"), probabilities=lambda text: shares)
    label(stars, "fine", method="integrated-gradients")
    label(stars, "fine", inner=Classify({"1 star": "", "5 stars": ""}), method="integrated-gradients")
    assert asked == [Target(("4 stars", "5 stars")), Target(("5 stars",), ("1 star", "5 stars"))]


def test_gradients_need_labels_of_the_checkpoints_own() -> None:
    for opened in (ScriptedEngine(), ScriptedEngine(
        checkpoint=checkpoint("classifier"), probabilities=lambda text: {"entailment": 0.6, "contradiction": 0.4}
    )):  # fmt: skip
        result = invoke("explain", "--method", "integrated-gradients", "so good", engine=opened)
        assert result.code == 2
        assert "--method occlusion" in result.stderr
    with pytest.raises(UsageError, match="no text is given the label 'joy'"):
        label(classifier(), "so good", label="joy")


def test_a_terminal_shows_every_probability_the_text_in_colour_and_the_words() -> None:
    result = invoke("explain", "--check", "--why", "negative", "so good, not bad", engine=classifier(), terminal=True)
    assert result.code == 0
    assert "positive" in result.stdout
    assert "50.0%" in result.stdout
    assert "FOR negative" in result.stdout
    assert "\x1b[1;32mbad\x1b[0m" in result.stdout
    assert "\x1b[1;31mgood\x1b[0m" in result.stdout
    assert "-0.167" in result.stdout
    assert "negative is 50%, without the heaviest word 33%" in result.stdout
    plain = invoke("sentiment", "--explain", "so good, not bad", engine=classifier(), terminal=True)
    assert "FOR" not in plain.stdout


def test_records_and_lines_are_explained_like_any_others(tmp_path: Path) -> None:
    result = invoke("explain", "--lines", "--jsonl", engine=classifier(), stdin=b"so good\nso bad\n")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["explanation"]["words"][1]["text"] for record in records] == ["good", "bad"]


def test_nothing_given_on_a_terminal_shows_what_can_be_explained() -> None:
    import io

    from lmcli.cli import run
    from lmcli.environment import Environment

    class Keyboard(io.BytesIO):
        def isatty(self) -> bool:
            return True

    stderr = Terminal()
    assert run(["explain"], Environment(Keyboard(), Terminal(), stderr, {}, lambda *_: None)) == 2  # type: ignore[arg-type,return-value]
    for name in ("label", "tokens", "attention"):
        assert name in stderr.getvalue()
