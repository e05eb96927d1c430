"""lmcli classify: the labels a user names, by a classifier, by inference or by likelihoods; what carries them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.errors import UsageError
from lmcli.tasks import prompts
from lmcli.tasks.classify import Classify
from lmcli.tasks.occlusion import units
from lmcli.tasks.sentiment import Sentiment
from lmcli.types import Label

LABELS = {"sport": "sport", "food": "food", "the weather": "the weather"}
WORDS = {"sport": "match", "food": "soup", "the weather": "rain"}


def about(prompt: str, ending: str) -> float:
    """Likely where its word stands in the text; `food` is a frequent word in any case."""
    label = ending.strip()
    return -4.0 + 3.0 * (WORDS.get(label, "?") in prompt) + 2.5 * (label == "food")


def model(**options: Any) -> ScriptedEngine:
    return ScriptedEngine(**({"likelihoods": about} | options))


def infer(pair: str) -> dict[str, float]:
    """Entailment where the word of the hypothesis' label stands in the text."""
    text, _, hypothesis = pair.partition(" => ")
    hits = sum(text.count(word) for label, word in WORDS.items() if label in hypothesis)
    return {"contradiction": 1.0 - hits, "neutral": 0.0, "entailment": -1.0 + 2.0 * hits}


def inference(**options: Any) -> ScriptedEngine:
    return ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=infer, **options)


def moods(text: str) -> dict[str, float]:
    weight = {"joy": 1 + 2 * text.count("glad"), "anger": 1 + 2 * text.count("angry"), "fear": 1}
    return {label: each / sum(weight.values()) for label, each in weight.items()}


def classifier(**options: Any) -> ScriptedEngine:
    return ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=moods, **options)


def label(engine: ScriptedEngine, text: str, **how: Any) -> Label:
    events = Classify(**({"labels": LABELS} | how)).run(engine, text)
    return next(event for event in events if isinstance(event, Label))


def test_a_label_that_is_likely_after_any_text_is_not_chosen_for_that() -> None:
    assert about("", " food") > about("the match", " sport") - 1  # It would win without calibration,
    found = label(model(), "the match was long")
    assert found.name == "sport"
    assert sum(found.scores.values()) == pytest.approx(1)
    assert found.scores["food"] == pytest.approx(found.scores["the weather"])


def test_the_order_of_the_labels_changes_nothing() -> None:
    turned = dict(reversed(LABELS.items()))
    assert label(model(), "rain and a match", labels=turned).scores == label(model(), "rain and a match").scores
    engine = model()
    label(engine, "rain")
    assert not any("food" in prompt for prompt in engine.prompts)


def test_a_description_stands_for_its_label() -> None:
    described = {"A": "sport", "B": "food"}
    assert label(model(), "the match", labels=described).name == "A"
    assert label(inference(), "hot soup", labels=described).name == "B"


def test_chinese_labels_are_asked_for_in_chinese_and_joined_without_a_space() -> None:
    seen: list[str] = []
    engine = ScriptedEngine(likelihoods=lambda prompt, ending: seen.append(ending) or -1.0)  # type: ignore[func-returns-value]
    label(engine, "今天下雨", labels={"体育": "体育", "天气": "天气"})
    assert all(prompt.endswith("这段文字是关于") for prompt in engine.prompts)
    assert set(seen) == {"体育", "天气"}


def test_a_hypothesis_of_ones_own_is_continued_by_a_language_model() -> None:
    engine = model()
    label(engine, "hello", hypothesis="The author writes of {label} here.")
    assert all(prompt.endswith("\nThe author writes of") for prompt in engine.prompts)


def test_several_labels_may_hold_or_none() -> None:
    engine = inference()
    both = label(engine, "soup in the rain", multi=True)
    assert both.holding == ("food", "the weather")
    assert label(engine, "nothing", multi=True).holding == ()
    assert label(engine, "soup", multi=True, threshold=0.99).holding == ()
    assert sum(both.scores.values()) > 1.5


def test_a_language_model_judges_each_of_several_labels_by_true_and_false() -> None:
    def truth(prompt: str, ending: str) -> float:
        fits = any(word in prompt and f"about {name}" in prompt for name, word in WORDS.items())
        return (-1.0 if fits else -5.0) if ending == " true" else -2.0

    found = label(ScriptedEngine(likelihoods=truth), "rain on the match", multi=True)
    assert found.holding == ("sport", "the weather")
    assert found.scores["food"] == pytest.approx(0.5)  # What says nothing leans neither way.


def test_inference_compares_the_entailment_of_every_hypothesis() -> None:
    engine = inference()
    found = label(engine, "rain, rain and a match")
    assert list(found.scores) == ["the weather", "sport", "food"]
    assert sum(found.scores.values()) == pytest.approx(1)
    assert len(engine.batches[0]) == 3


def test_a_classifier_brings_its_own_labels_and_may_be_held_to_some() -> None:
    own = label(classifier(), "glad", labels={})
    assert (own.name, own.scores["joy"]) == ("joy", pytest.approx(0.6))
    some = label(classifier(), "glad", labels={"Anger": "Anger", "fear": "fear"})
    assert some.scores == pytest.approx({"Anger": 0.5, "fear": 0.5})


def test_a_label_the_classifier_was_not_trained_on_is_refused_with_those_it_was() -> None:
    result = invoke("classify", "--labels", "spam,joy", "glad", engine=classifier())
    assert result.code == 2
    assert "does not know the label 'spam'; it was trained on joy, anger, fear" in result.stderr


@pytest.mark.parametrize("engine", [model(), inference()])
def test_without_labels_a_checkpoint_that_has_none_of_its_own_asks_for_some(engine: ScriptedEngine) -> None:
    result = invoke("classify", "hello", engine=engine)
    assert result.code == 2
    assert "--labels spam,ham" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--labels", "a"], "one label leaves no choice"),
        (["--labels", "a,b,a"], "'a' is named twice"),
        (["--labels", " , "], "names no label"),
        (["--labels", "a,b", "--hypothesis", "It is so."], "no {label} in it"),
        (["--labels", "a,b", "--fail-on", "c"], "no text is given the label 'c'"),
        (["--labels", "a,b", "--labels-file", "x"], "exclude each other"),
        (["--labels", "a,b", "--threshold", "2"], "--threshold"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str], said: str) -> None:
    result = invoke("classify", *arguments, "hello", engine=model())
    assert (result.code, result.stdout) == (2, "")
    assert said in result.stderr


def test_labels_come_from_a_file_with_what_they_stand_for(tmp_path: Path) -> None:
    file = tmp_path / "labels.tsv"
    file.write_text("A\tsport\n\nB\tfood\nthe weather\n")
    result = invoke("classify", "--labels-file", str(file), "--lines", engine=model(), stdin=b"a match\nrain\n")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["A", "the weather"]


def test_a_long_text_is_judged_whole_in_parts() -> None:
    engine = model(context_length=60)
    found = label(engine, "The match was good to see for all of us. " * 20 + "Then there was rain on it. " * 4)
    assert found.name == "sport"
    assert found.scores["the weather"] > found.scores["food"]
    assert all(engine.count(prompt) <= 60 for prompt in engine.prompts)


def test_json_has_the_labels_that_hold_beside_the_likeliest() -> None:
    result = invoke(
        "classify", "--labels", "sport,food,the weather", "--multi", "--jsonl", "--lines",
        engine=inference(), stdin=b"soup in the rain\nnothing\n",
    )  # fmt: skip
    first, second = map(json.loads, result.stdout.splitlines())
    assert (first["task"], first["label"], first["labels"]) == ("classify", "food", ["food", "the weather"])
    assert second["labels"] == []
    assert set(second["scores"]) == {"sport", "food", "the weather"}


def test_a_line_of_text_has_each_label_that_holds_or_a_dash() -> None:
    arguments = ["classify", "--labels", "sport,food,the weather", "--multi", "--lines"]
    result = invoke(*arguments, engine=inference(), stdin=b"soup in the rain\nnothing\n")
    assert result.stdout.splitlines() == ["food,the weather\t0.7311,0.7311\tsoup in the rain", "-\t0.1192\tnothing"]


def test_records_take_their_labels_and_what_holds() -> None:
    records = b'{"id": 1, "text": "soup"}\n{"id": 2, "text": "rain"}\n'
    result = invoke("classify", "--labels", "food,sport", "--multi", "--jsonl", engine=inference(), stdin=records)
    assert [(r["id"], r["labels"]) for r in map(json.loads, result.stdout.splitlines())] == [(1, ["food"]), (2, [])]


def test_fail_on_ends_with_1_and_the_output_is_whole() -> None:
    for command, engine in (("classify", classifier()), ("sentiment", classifier())):
        arguments = [command, "--lines", "--fail-on", "anger"]
        found = invoke(*arguments, engine=engine, stdin=b"glad\nangry\nglad\n")
        assert found.code == 1
        assert [line.split("\t")[0] for line in found.stdout.splitlines()] == ["joy", "anger", "joy"]
        assert invoke(*arguments, engine=engine, stdin=b"glad\n").code == 0


def test_of_several_texts_a_terminal_tells_how_many_have_each_label() -> None:
    result = invoke("classify", "--lines", engine=classifier(), stdin=b"glad\nangry\nglad\nglad\n", terminal=True)
    told = {words[0]: words[1:3] for line in result.stderr.splitlines() if len(words := line.split()) > 2}
    assert any("joy" in name and counts == ["3", "75%"] for name, counts in told.items())
    assert "█" in result.stderr
    piped = invoke("classify", "--lines", engine=classifier(), stdin=b"glad\nangry\n")
    assert piped.stderr == ""
    verbose = invoke("classify", "--lines", "-v", engine=classifier(), stdin=b"glad\nangry\n")
    assert "2 texts: joy 1 (50%), anger 1 (50%), fear 0 (0%)" in verbose.stderr


def test_an_explanation_weighs_the_words_that_carry_the_label() -> None:
    found = label(classifier(), "I am so glad, not angry.", labels={}, explain=True).explanation
    assert found is not None
    assert found.method == "occlusion"
    weights = {word.text: word.weight for word in found.words}
    assert list(weights) == ["I", "am", "so", "glad", "not", "angry"]
    assert max(weights, key=lambda word: weights[word]) == "glad"
    assert weights["angry"] < 0 == weights["so"]
    assert all("I am so glad, not angry."[word.start : word.end] == word.text for word in found.words)


def test_a_long_text_is_explained_by_its_sentences_then_the_words_of_the_strongest() -> None:
    text = "It went on for a while and then some. " * 12 + "We were glad of it. " + "It all ended at some time. " * 9
    engine = classifier()
    found = label(engine, text, labels={}, explain=True).explanation
    assert found is not None
    assert max(found.words, key=lambda word: word.weight).text == "glad"
    assert any(word.text.startswith("It went on") for word in found.words)
    assert sum(map(len, engine.batches)) < 80


def test_an_explanation_of_a_text_in_parts_points_into_the_whole_text() -> None:
    text = "It went on for a while. " * 12 + "We were glad of it. " + "It all ended. " * 9
    found = label(classifier(context_length=30), text, labels={}, explain=True).explanation
    assert found is not None
    strongest = max(found.words, key=lambda word: word.weight)
    assert (strongest.text, text[strongest.start : strongest.end]) == ("glad", "glad")


def test_likelihoods_and_inference_are_explained_alike() -> None:
    for engine in (model(), inference()):
        found = label(engine, "a long match indeed", explain=True).explanation
        assert found is not None
        assert max(found.words, key=lambda word: word.weight).text == "match"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't know.", ["I", "don't", "know"]),
        ("这部电影太无聊了！", ["这部", "电影", "太", "无聊", "了"]),
        ("吃 pizza 了", ["吃", "pizza", "了"]),
        ("well-known café 2024", ["well-known", "café", "2024"]),
        ("?!", []),
    ],
)
def test_units_are_words(text: str, words: list[str]) -> None:
    assert [text[a:b] for a, b in units(text)] == words


def test_without_a_dictionary_units_of_chinese_have_two_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcli.text.chinese._cut", lambda: None)
    text = "好吃得很！"
    assert [text[a:b] for a, b in units(text)] == ["好吃", "得很"]


def test_pipes_get_words_with_weights_and_terminals_colour_unless_there_is_to_be_none() -> None:
    arguments = ["classify", "--explain", "so glad"]
    piped = invoke(*arguments, engine=classifier()).stdout
    assert piped == "joy\t0.6000\tglad +0.267, so +0.000\n"
    assert (
        "\x1b[1;32mglad" in invoke(*arguments, engine=classifier(), terminal=True, variables={"TERM": "xterm"}).stdout
    )
    plain = invoke(*arguments, engine=classifier(), terminal=True, variables={"NO_COLOR": "1"}).stdout
    assert "\x1b" not in plain
    assert "glad +0.267" in plain


def test_an_explanation_is_in_the_json() -> None:
    record = json.loads(invoke("sentiment", "--json", "--explain", "so glad", engine=classifier()).stdout)
    assert record["explanation"]["method"] == "occlusion"
    assert record["explanation"]["words"][1] == {
        "text": "glad",
        "start": 3,
        "end": 7,
        "weight": pytest.approx(0.2667, abs=1e-3),
    }


def test_sentiment_by_inference_asks_for_the_sentiment() -> None:
    def of_mood(pair: str) -> dict[str, float]:
        return {"entailment": float("glad" in pair and "positive" in pair), "neutral": 0.0, "contradiction": 0.0}

    engine = ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=of_mood)
    found = next(event for event in Sentiment().run(engine, "so glad") if isinstance(event, Label))
    assert found.name == "positive"
    assert set(found.scores) == set(prompts.SENTIMENT_LABELS)


def test_an_encoder_decoder_cannot_classify() -> None:
    result = invoke("classify", "--labels", "a,b", "good", engine=ScriptedEngine(checkpoint=checkpoint("seq2seq")))
    assert result.code == 3


def test_a_task_without_a_place_for_its_label_is_refused() -> None:
    with pytest.raises(UsageError):
        Classify(LABELS, hypothesis="so")
