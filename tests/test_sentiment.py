"""lmcli sentiment: a label and its probability for each text, by a classifier or by likelihoods."""

import json
import math
import os
import subprocess
import sys

import pytest
from scripted import ScriptedEngine, checkpoint, invoke

from lmcli.tasks.sentiment import Sentiment, known_labels
from lmcli.types import Done, Label, Notice


def by_word(text: str) -> dict[str, float]:
    good, bad = text.count("good"), text.count("bad")
    share = (1 + good) / (2 + good + bad)
    return {"POSITIVE": share, "NEGATIVE": 1 - share}


def classifier(**options) -> ScriptedEngine:
    return ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=by_word, **options)


def likes_good(prompt: str, continuation: str) -> float:
    wanted = "positive" if "good" in prompt else "negative" if "bad" in prompt else "neutral"
    return -1.0 if continuation.strip() == wanted else -3.0


def label(engine: ScriptedEngine, text: str) -> Label:
    return next(event for event in Sentiment().run(engine, text) if isinstance(event, Label))


@pytest.mark.parametrize(
    ("own", "known"),
    [
        ({"POSITIVE": 0.9, "NEGATIVE": 0.1}, {"positive": 0.9, "negative": 0.1}),
        ({"neg": 0.2, "neu": 0.5, "pos": 0.3}, {"negative": 0.2, "neutral": 0.5, "positive": 0.3}),
        ({"LABEL_0": 0.3, "LABEL_1": 0.7}, {"negative": 0.3, "positive": 0.7}),
        ({"LABEL_0": 0.2, "LABEL_1": 0.1, "LABEL_2": 0.7}, {"negative": 0.2, "neutral": 0.1, "positive": 0.7}),
        (
            {"1 star": 0.5, "2 stars": 0.25, "3 stars": 0.125, "4 stars": 0.0625, "5 stars": 0.0625},
            {"negative": 0.75, "neutral": 0.125, "positive": 0.125},
        ),
        ({"正面": 0.6, "负面": 0.3, "中性": 0.1}, {"positive": 0.6, "negative": 0.3, "neutral": 0.1}),
        ({"积极": 0.6, "消极": 0.4}, {"positive": 0.6, "negative": 0.4}),
        (
            {"Very Negative": 0.1, "Negative": 0.2, "Neutral": 0.1, "Positive": 0.2, "Very Positive": 0.4},
            {"negative": 0.3, "neutral": 0.1, "positive": 0.6},
        ),
        ({"joy": 0.8, "anger": 0.2}, {"joy": 0.8, "anger": 0.2}),
        (dict.fromkeys(["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"], 0.25),) * 2,
        ({"LABEL_5": 0.2, "good": 0.1, "bad": 0.7},) * 2,
    ],
)
def test_labels_are_known_by_their_usual_names(own, known):
    assert known_labels(own) == pytest.approx(known)


def test_a_classifier_gives_its_label_and_every_probability():
    found = label(classifier(), "good good good")
    assert found.name == "positive"
    assert found.scores == pytest.approx({"positive": 0.8, "negative": 0.2})


def test_a_long_text_is_judged_whole_in_parts():
    engine = classifier(context_length=10)
    text = "This is good good good indeed. " * 9 + "This one is bad bad bad though."
    events = list(Sentiment().run(engine, text))
    assert "".join(engine.batches[0]) == text
    assert all(engine.count(part) <= 10 for part in engine.batches[0])
    total = sum(map(engine.count, engine.batches[0]))
    mean = sum(by_word(part)["POSITIVE"] * engine.count(part) / total for part in engine.batches[0])
    assert next(event for event in events if isinstance(event, Label)).scores["positive"] == pytest.approx(mean)
    assert any(isinstance(event, Notice) and event.verbose for event in events)
    assert events[-1] == Done("stop", events[-1].usage)
    assert events[-1].usage.prompt_tokens == total


def test_many_texts_are_worked_in_growing_batches_and_keep_their_order():
    engine = classifier()
    texts = [("good " if n % 3 else "bad ") * 3 + str(n) for n in range(150)]
    results = [list(events) for events in Sentiment().run_many(engine, texts)]
    assert [len(batch) for batch in engine.batches] == [16, 32, 64, 38]
    assert [events[0].name for events in results] == ["positive" if n % 3 else "negative" for n in range(150)]


def test_the_first_texts_are_shown_before_the_others_are_judged():
    engine = classifier()
    results = Sentiment().run_many(engine, ["good"] * 100)
    next(results)
    assert [len(batch) for batch in engine.batches] == [16]


def test_a_language_model_is_asked_for_likelihoods_and_writes_nothing():
    engine = ScriptedEngine(likelihoods=likes_good)
    found = label(engine, "so good")
    assert found.name == "positive"
    assert sum(found.scores.values()) == pytest.approx(1)
    assert found.scores["positive"] > found.scores["negative"]
    assert engine.params == []


def test_a_language_model_judges_a_long_text_in_parts():
    engine = ScriptedEngine(likelihoods=likes_good, context_length=150)
    text = "All of this is good to have. " * 30 + "That was bad. " * 15
    found = label(engine, text)
    assert found.name == "positive"
    assert found.scores["negative"] > 0.01
    assert all(engine.count(prompt) <= 150 for prompt in engine.prompts)


def test_an_encoder_decoder_cannot_judge():
    result = invoke("sentiment", "good", engine=ScriptedEngine(checkpoint=checkpoint("seq2seq")))
    assert result.code == 3
    assert "encoder-decoder" in result.stderr


def test_one_text_is_a_line_with_label_and_probability():
    result = invoke("sentiment", "a good day", engine=classifier())
    assert (result.code, result.stdout, result.stderr) == (0, "positive\t0.6667\n", "")


def test_several_texts_are_a_line_each_with_the_text_shortened():
    long = "bad news,\tvery " + "long " * 30
    result = invoke("sentiment", "a good day", long, engine=classifier())
    first, second = result.stdout.splitlines()
    assert first == "positive\t0.6667\ta good day"
    label, score, text = second.split("\t")
    assert (label, score) == ("negative", "0.6667")
    assert text.startswith("bad news, very long")
    assert text.endswith("…")
    assert len(text) == 60


def test_a_file_is_read_and_named(tmp_path):
    path = tmp_path / "review.txt"
    path.write_text("bad bad bad")
    engine = classifier()
    result = invoke("sentiment", str(path), "good", engine=engine)
    assert result.stdout.splitlines() == [f"negative\t0.8000\t{path}", "positive\t0.6667\tgood"]
    assert engine.batches == [["bad bad bad", "good"]]


def test_each_line_is_a_text_when_asked():
    engine = classifier()
    result = invoke("sentiment", "--lines", engine=engine, stdin=b"good one\r\n\nbad one\nwho knows")
    assert [line.split("\t")[2] for line in result.stdout.splitlines()] == ["good one", "bad one", "who knows"]
    assert engine.batches == [["good one", "bad one", "who knows"]]


def test_jsonl_has_a_record_a_line_with_its_input():
    result = invoke("sentiment", "--lines", "--jsonl", engine=classifier(), stdin="good 好\nbad".encode())
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["task"], r["label"], r["input"]) for r in records] == [
        ("sentiment", "positive", "good 好"),
        ("sentiment", "negative", "bad"),
    ]
    assert all(math.isclose(sum(r["scores"].values()), 1) and r["score"] == max(r["scores"].values()) for r in records)


def test_json_of_a_file_names_it(tmp_path):
    path = tmp_path / "review.txt"
    path.write_text("good")
    record = json.loads(invoke("sentiment", "--json", str(path), engine=classifier()).stdout)
    assert record["file"] == str(path)
    assert "input" not in record


@pytest.mark.parametrize("name", ["reviews.txt", "./reviews", "/nowhere/x", "~nobody-at-all/x.md"])
def test_a_misspelt_file_is_not_judged_as_a_text(name):
    result = invoke("sentiment", name, engine=classifier())
    assert result.code == 5
    assert name in result.stderr


@pytest.mark.parametrize("text", ["It broke.", "a/b testing is good", "5/5", "x" * 5000, "What?! See notes.txt"])
def test_a_text_is_not_mistaken_for_a_file(text):
    assert invoke("sentiment", text, engine=classifier()).code == 0


def test_an_empty_text_is_refused():
    assert invoke("sentiment", " ", engine=classifier()).code == 5
    assert invoke("sentiment", engine=classifier(), stdin=b"\n").code == 5


def test_nothing_given_on_a_terminal_shows_the_help():
    import pty

    main, other = pty.openpty()
    program = [sys.executable, "-m", "lmcli", "sentiment"]
    result = subprocess.run(program, stdin=other, capture_output=True, text=True, timeout=60, check=False)
    os.close(main)
    os.close(other)
    assert result.returncode == 2
    assert "Usage: lmcli sentiment" in result.stderr
    assert result.stdout == ""


def test_a_closed_pipe_is_quiet():
    program = (
        "import io, sys; sys.path[:0] = ['tests']; from scripted import *; from lmcli.cli import leave, run\n"
        "import tempfile, pathlib; folder = pathlib.Path(tempfile.mkdtemp())\n"
        "engine = ScriptedEngine(checkpoint=checkpoint('classifier'))\n"
        "stdin = io.BytesIO(b'good\\n' * 20000)\n"
        "variables = sandbox(folder, engine)\n"
        "environment = Environment(stdin, sys.stdout, sys.stderr, variables, lambda *a, **o: engine)\n"
        "leave(run(['sentiment', '--lines'], environment))\n"
    )
    command = f'{sys.executable} -c "$PROGRAM" | head -1; exit ${{PIPESTATUS[0]}}'
    variables = {**os.environ, "PROGRAM": program}
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=variables, check=False)
    assert result.stdout == "positive\t0.7500\tgood\n"
    assert result.stderr == ""
    assert result.returncode == 0


@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_text_is_no_directory(nothing: str) -> None:
    result = invoke("sentiment", nothing, engine=ScriptedEngine(checkpoint=checkpoint("classifier")))
    assert result.code == 5
    assert "the text is empty" in result.stderr
