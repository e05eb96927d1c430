"""lmcli evaluate: the figures, how sure they are, which answers are worth a look, and what a comparison says."""

from __future__ import annotations

import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Result, ScriptedEngine, checkpoint, folder_checkpoint, invoke, sandbox

from lmcli.cli import run
from lmcli.environment import Environment
from lmcli.evaluation import rouge, translation


def by_word(text: str) -> dict[str, float]:
    """Positive by good, negative by bad, and of three the likeliest is always neutral."""
    good, bad = 1 + text.count("good"), 1 + text.count("bad")
    total = 2 * (good + bad)
    return {"positive": good / total, "negative": bad / total, "neutral": 0.5}


def two(text: str) -> dict[str, float]:
    scores = by_word(text)
    return {"NEGATIVE": 2 * scores["negative"], "POSITIVE": 2 * scores["positive"]}


def classifier(probabilities: Any = two, **options: Any) -> ScriptedEngine:
    return ScriptedEngine(checkpoint=checkpoint("classifier"), probabilities=probabilities, **options)


def written(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    file = folder / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def told(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.stderr
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def value(report: dict[str, Any], name: str) -> float:
    found: float = report["figures"][name]["value"]
    return found


REVIEWS = [
    {"text": "good good", "label": "positive"},
    {"text": "so bad", "label": "negative"},
    {"text": "good, not bad, good", "label": "negative"},
    {"text": "a good one", "label": "positive"},
]


def test_the_figures_of_a_file_of_labels(tmp_path: Path) -> None:
    report = told(invoke("evaluate", "--json", written(tmp_path, REVIEWS), engine=classifier()))
    assert (report["task"], report["measured"], report["checkpoint"]) == ("evaluate", "sentiment", "scripted")
    assert (report["n"], report["failed"], report["resamples"], report["seed"]) == (4, 0, 1000, 0)
    assert value(report, "accuracy") == 0.75
    assert value(report, "macro_f1") == pytest.approx((2 / 3 + 4 / 5) / 2)
    low, high = report["figures"]["accuracy"]["low"], report["figures"]["accuracy"]["high"]
    assert 0 <= low < 0.75 < high <= 1
    assert report["confusion"] == {"labels": ["negative", "positive"], "rows": [[1, 1], [0, 2]]}
    assert [label["name"] for label in report["labels"]] == ["negative", "positive"]
    assert report["texts_per_second"] > 0


def test_people_read_tables(tmp_path: Path) -> None:
    result = invoke("evaluate", written(tmp_path, REVIEWS), engine=classifier())
    figures, labels, confusion = result.stdout.split("\n\n")
    assert figures.startswith("accuracy\t75.0 %\t25.0 to 100.0 %\nmacro F1\t0.733\t")
    assert "texts\t4\t\n" in figures
    assert labels == "negative\t1.000\t0.500\t0.667\t2\npositive\t0.667\t1.000\t0.800\t2"
    assert confusion == "negative\t1\t1\npositive\t0\t2\n"


def test_a_terminal_has_headings_and_says_what_is_taken_for_what(tmp_path: Path) -> None:
    result = invoke("evaluate", "--no-color", written(tmp_path, REVIEWS), engine=classifier(), terminal=True)
    assert "FIGURE" in result.stdout
    assert "WANTED \\ TOLD" in result.stdout


def test_in_a_set_without_neutral_texts_the_likelier_of_the_two_counts(tmp_path: Path) -> None:
    result = invoke("evaluate", "--json", written(tmp_path, REVIEWS), engine=classifier(by_word))
    report = told(result)
    assert value(report, "accuracy") == 0.75
    assert report["signature"] == "labels:positive+negative"
    assert "the likelier of positive and negative counts" in result.stderr


def test_a_checkpoint_that_tells_no_sentiments_is_not_measured_by_them(tmp_path: Path) -> None:
    file = written(tmp_path, [{"text": "good", "label": "positive"}, {"text": "bad", "label": "negative"}])
    result = invoke("evaluate", file, engine=classifier(lambda text: {"ham": 0.6, "spam": 0.4}))
    assert (result.code, "tells no sentiments: it was trained on ham, spam" in result.stderr) == (2, True)


def test_in_a_set_with_neutral_texts_all_three_count(tmp_path: Path) -> None:
    rows = [*REVIEWS, {"text": "a chair", "label": "neutral"}]
    report = told(invoke("evaluate", "--json", written(tmp_path, rows), engine=classifier(by_word)))
    assert value(report, "accuracy") == 0.2  # It takes every text for neutral.
    result = invoke("evaluate", "--json", written(tmp_path, rows), engine=classifier())
    assert value(told(result), "accuracy") == 0.6
    assert "scripted does not know neutral" in result.stderr


@pytest.mark.parametrize(
    ("good", "bad", "middle"),
    [(1, 0, None), ("2", "1", None), (1, -1, 0), (2, 0, 1), (5, 1, 3), ("正面", "负面", "中性"), ("pos", "neg", "neu")],
)
def test_sentiments_are_known_by_the_names_and_numbers_that_sets_use(
    good: Any, bad: Any, middle: Any, tmp_path: Path
) -> None:
    rows = [{"text": "good", "label": good}, {"text": "bad", "label": bad}]
    rows += [{"text": "chair", "label": middle}] if middle is not None else []
    engine = classifier(lambda text: by_word(text) if "chair" in text else two(text) | {"neutral": 0.0})
    report = told(invoke("evaluate", "--task", "sentiment", "--json", written(tmp_path, rows), engine=engine))
    assert value(report, "accuracy") == 1


def test_labels_that_are_no_sentiments_are_refused_as_such(tmp_path: Path) -> None:
    rows = [{"text": "a goal", "label": "sports"}, {"text": "good", "label": "positive"}]
    result = invoke("evaluate", "--task", "sentiment", written(tmp_path, rows), engine=classifier())
    assert result.code == 2
    assert "not all labels are a sentiment: positive, sports" in result.stderr


def spam(text: str) -> dict[str, float]:
    sure = 0.9 if "win" in text else 0.2
    return {"ham": 1 - sure, "spam": sure}


@pytest.mark.parametrize("labels", [("spam", "ham"), ("SPAM", "Ham"), (1, 0)])
def test_a_classifier_is_measured_by_its_own_labels(labels: tuple[Any, Any], tmp_path: Path) -> None:
    rows = [{"text": "win now", "label": labels[0]}, {"text": "lunch?", "label": labels[1]},
            {"text": "win win", "label": labels[1]}]  # fmt: skip
    report = told(invoke("evaluate", "--json", written(tmp_path, rows), engine=classifier(spam)))
    assert report["measured"] == "classify"
    assert value(report, "accuracy") == pytest.approx(2 / 3)
    assert report["confusion"]["labels"] == ["ham", "spam"]


def test_a_label_that_a_classifier_does_not_know_is_an_error(tmp_path: Path) -> None:
    rows = [{"text": "win now", "label": "advertising"}, {"text": "lunch?", "label": "ham"}]
    result = invoke("evaluate", written(tmp_path, rows), engine=classifier(spam))
    assert result.code == 2
    assert "scripted does not know the label 'advertising'; it was trained on ham, spam" in result.stderr


def test_one_label_leaves_a_language_model_no_choice(tmp_path: Path) -> None:
    file = written(tmp_path, [{"text": "a goal", "label": "sports"}])
    result = invoke("evaluate", file, engine=ScriptedEngine())
    assert result.code == 2
    assert "all examples have the label 'sports'" in result.stderr
    assert invoke("evaluate", "--labels", "sports,news", file, engine=ScriptedEngine()).code == 0


def test_a_language_model_chooses_among_the_labels_of_the_set(tmp_path: Path) -> None:
    rows = [{"text": "a goal", "label": "sports"}, {"text": "a vote", "label": "politics"}]

    def likely(prompt: str, continuation: str) -> float:
        return -1.0 if ("goal" in prompt) == ("sports" in continuation) else -5.0

    report = told(invoke("evaluate", "--json", written(tmp_path, rows), engine=ScriptedEngine(likelihoods=likely)))
    assert value(report, "accuracy") == 1
    assert report["signature"] == "labels:2|of:set"


def entails(text: str) -> dict[str, float]:
    return {"not_duplicate": 0.0, "duplicate": 2.0 if "=> same" in text else -2.0}


PAIRS = [
    {"sentence1": "one", "sentence2": "same", "label": 1},
    {"sentence1": "one", "sentence2": "other", "label": 0},
    {"sentence1": "two", "sentence2": "same", "label": 0},
]


def test_pairs_are_judged_together(tmp_path: Path) -> None:
    report = told(invoke("evaluate", "--json", "--errors", "5", written(tmp_path, PAIRS), engine=classifier(entails)))
    assert value(report, "accuracy") == pytest.approx(2 / 3)
    [wrong] = report["errors"]
    assert (wrong["text"], wrong["wanted"], wrong["got"]) == ("same\ntwo", "not_duplicate", "duplicate")
    assert wrong["score"] == pytest.approx(1 / (1 + math.exp(-2)))


def test_pairs_want_a_classifier(tmp_path: Path) -> None:
    result = invoke("evaluate", written(tmp_path, PAIRS), engine=ScriptedEngine())
    assert result.code == 2
    assert "pairs of texts" in result.stderr


@pytest.mark.parametrize("rows", [PAIRS, [{"sentence1": "a", "sentence2": "b", "score": 1.5}]])
def test_nothing_is_fetched_for_what_only_a_trained_checkpoint_does(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    result = invoke("evaluate", written(tmp_path, rows), engine=None)
    assert (result.code, "name one: lmcli evaluate -m REF" in result.stderr) == (2, True)


LIKENESS = [
    {"sentence1": "one", "sentence2": "four", "score": 4.2},
    {"sentence1": "one", "sentence2": "two", "score": 2.5},
    {"sentence1": "two", "sentence2": "", "score": 0.0},
]


def alike(text: str) -> dict[str, float]:
    return {"LABEL_0": {"two": 1.5, "four": 2.0}.get(text.partition(" => ")[2], -9.0)}


def test_numbers_are_measured_by_how_they_go_with_those_of_people(tmp_path: Path) -> None:
    file = written(tmp_path, LIKENESS)
    report = told(invoke("evaluate", "--json", "--errors", "1", file, engine=classifier(alike)))
    assert report["measured"] == "score"
    assert value(report, "pearson") == pytest.approx(np.corrcoef([4.2, 2.5, 0], [2, 1.5, -9])[0, 1])
    assert value(report, "spearman") == pytest.approx(1)
    assert [(each["wanted"], each["got"]) for each in report["errors"]] == [("2.5", "1.500")]


def test_numbers_want_a_checkpoint_with_one_output_and_rows_that_have_them(tmp_path: Path) -> None:
    labels = invoke("evaluate", written(tmp_path, LIKENESS), engine=classifier(entails))
    assert (labels.code, "gives no numbers" in labels.stderr) == (2, True)
    words = written(tmp_path, [*LIKENESS, {"sentence1": "a", "sentence2": "two", "score": "much"}])
    result = invoke("evaluate", "--task", "score", words, engine=classifier(alike))
    assert (result.code, "line 4 has 'much', which is no number" in result.stderr) == (5, True)


TRANSLATIONS = {"Guten Morgen.": "Good morning.", "Die Katze schläft auf dem Sofa.": "The cat is asleep on the couch."}
SENTENCES = [
    {"de": "Guten Morgen.", "en": "Good morning."},
    {"de": "Die Katze schläft auf dem Sofa.", "en": "The cat sleeps on the sofa."},
]


def translator(**options: Any) -> ScriptedEngine:
    return ScriptedEngine([lambda text: TRANSLATIONS[text]], checkpoint=checkpoint("seq2seq"), **options)


def test_translations_have_bleu_and_chrf_with_their_signatures(tmp_path: Path) -> None:
    report = told(invoke("evaluate", "--json", written(tmp_path, SENTENCES), engine=translator()))
    expected = translation.measure(list(TRANSLATIONS.values()), [[row["en"]] for row in SENTENCES], "en")
    assert (report["measured"], report["from"], report["to"]) == ("translate", "de", "en")
    assert value(report, "bleu") == pytest.approx(expected.bleu)
    assert value(report, "chrf") == pytest.approx(expected.chrf)
    assert report["bleu_signature"] == expected.bleu_signature
    assert report["chrf_signature"] in report["signature"]


def test_the_worst_translations_come_first(tmp_path: Path) -> None:
    report = told(invoke("evaluate", "--json", "--errors", "1", written(tmp_path, SENTENCES), engine=translator()))
    [worst] = report["errors"]
    assert worst["text"] == "Die Katze schläft auf dem Sofa."
    assert (worst["wanted"], worst["got"]) == ("The cat sleeps on the sofa.", "The cat is asleep on the couch.")
    assert worst["line"] == 2


def test_a_target_turns_the_columns_round(tmp_path: Path) -> None:
    engine = ScriptedEngine([lambda text: "Guten Morgen."], checkpoint=checkpoint("seq2seq"))
    file = written(tmp_path, SENTENCES[:1])
    report = told(invoke("evaluate", "--to", "de", "--json", file, engine=engine))
    assert (report["from"], report["to"]) == ("en", "de")
    assert value(report, "bleu") == pytest.approx(translation.measure(["Guten Morgen."], [["Guten Morgen."]]).bleu)


def test_languages_that_no_column_tells_are_asked_for(tmp_path: Path) -> None:
    file = written(tmp_path, [{"source": "Guten Morgen.", "target": "Good morning."}])
    result = invoke("evaluate", file, engine=translator())
    assert result.code == 2
    assert "say so: --from en --to zh" in result.stderr
    assert told(invoke("evaluate", "--from", "de", "--to", "en", "--json", file, engine=translator()))["from"] == "de"


def test_summaries_have_rouge(tmp_path: Path) -> None:
    texts = [f"The council met on {day}. It raised the tax on dogs. Few were there." for day in ("Monday", "Friday")]
    rows = [{"text": text, "summary": "The council raised dog taxes.", "category": "local"} for text in texts]
    engine = ScriptedEngine(["The council raised the tax on dogs.", "Few people came."])
    report = told(invoke("evaluate", "--json", "--length", "short", written(tmp_path, rows), engine=engine))
    wrote = ["The council raised the tax on dogs.", "Few people came."]
    expected = rouge.measure(wrote, [[row["summary"]] for row in rows])
    assert report["measured"] == "summarize"
    assert value(report, "rouge2") == pytest.approx(expected.rouge2)
    assert report["signature"] == "ROUGE|f1|english-stems|refs:best"
    assert "30 words" in engine.prompts[0]


QUESTIONS = [
    {"context": "Anna met Ben in Rome.", "question": "Where did they meet?", "answers": ["Rome", "in Rome"]},
    {"context": "Anna met Ben in Rome.", "question": "Whom did Anna meet?", "answers": {"text": ["Ben"]}},
    {"context": "Anna met Ben in Rome.", "question": "When did they meet?", "answers": []},
]


def test_answers_are_measured_by_exact_match_and_f1(tmp_path: Path) -> None:
    replies = {"Where": "in Rome.", "Whom": "It was Ben", "When": "The text does not say."}
    engine = ScriptedEngine(
        [lambda prompt: next(said for word, said in replies.items() if f"Question: {word}" in prompt)]
    )
    report = told(invoke("evaluate", "--json", "--errors", "5", written(tmp_path, QUESTIONS), engine=engine))
    assert report["measured"] == "ask"
    assert value(report, "exact_match") == pytest.approx(2 / 3)
    assert value(report, "f1") == pytest.approx((1 + 1 / 2 + 1) / 3)
    [wrong] = report["errors"]
    assert (wrong["text"], wrong["got"]) == ("Whom did Anna meet?", "It was Ben")


def test_chinese_answers_are_measured_by_characters(tmp_path: Path) -> None:
    rows = [{"context": "安娜在罗马见到了本。", "question": "安娜在哪里见到了本？", "answers": ["罗马"]}]
    report = told(invoke("evaluate", "--json", written(tmp_path, rows), engine=ScriptedEngine(["在罗马"])))
    assert value(report, "f1") == pytest.approx(0.8)
    assert report["signature"].startswith("CMRC2018")


CHOICES = [
    {"question": "What barks?", "choices": ["a dog", "a very long cat"], "answer": "A"},
    {"question": "What purrs?", "choices": ["a dog", "a very long cat"], "answer": 1},
    {"question": "What swims?", "choices": ["a dog", "a fish"], "answer": "a fish"},
]


def likelihoods(prompt: str, continuation: str) -> float:
    assert prompt.startswith("Question: What ")
    assert prompt.endswith("?\nAnswer:")
    return {" a dog": -2.0, " a very long cat": -2.5, " a fish": -9.0}[continuation]


def test_choices_are_made_by_likelihood_as_it_is_and_by_length(tmp_path: Path) -> None:
    engine = ScriptedEngine(likelihoods=likelihoods)
    report = told(invoke("evaluate", "--json", "--errors", "3", written(tmp_path, CHOICES), engine=engine))
    assert report["measured"] == "choose"
    assert value(report, "accuracy") == pytest.approx(1 / 3)  # a dog
    assert value(report, "accuracy_normalized") == pytest.approx(1 / 3)  # the cat, for its length
    assert [wrong["text"] for wrong in report["errors"]] == ["What swims?", "What purrs?"]
    assert report["errors"][0]["score"] == -7


def test_the_prompt_of_choices_can_be_another(tmp_path: Path) -> None:
    seen: list[str] = []
    engine = ScriptedEngine(likelihoods=lambda prompt, continuation: seen.append(prompt + continuation) or -1.0)
    file = written(tmp_path, [{"ctx": "A dog", "endings": ["barks.", "purrs."], "label": 0}])
    told(invoke("evaluate", "--json", file, engine=engine))
    assert seen == ["A dog barks.", "A dog purrs."]  # Such a column is to be continued.
    told(invoke("evaluate", "--json", "--prompt", "Well: {text}\n", file, engine=engine))
    assert seen[2:] == ["Well: A dog\nbarks.", "Well: A dog\npurrs."]
    assert invoke("evaluate", "--prompt", "no place", file, engine=engine).code == 2


def test_perplexity_and_bits_of_texts(tmp_path: Path) -> None:
    engine = ScriptedEngine(
        likelihoods=lambda prompt, word: -3 * math.log(2) if len(word.strip()) > 2 else -math.log(2)
    )
    (tmp_path / "a.txt").write_text("ab abcd abcd", encoding="utf-8")  # 6 bits for "abcd abcd"
    (tmp_path / "b.txt").write_text("ab ab 中文", encoding="utf-8")  # 2 bits for "ab 中文"
    report = told(invoke("evaluate", "--json", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), engine=engine))
    assert (report["measured"], report["n"], report["tokens"]) == ("generate", 2, 4)
    assert (report["bytes"], report["characters"]) == (9 + 9, 9 + 5)
    assert value(report, "perplexity") == pytest.approx(2 ** (8 / 4))
    assert value(report, "bits_per_byte") == pytest.approx(8 / 18)
    assert value(report, "bits_per_character") == pytest.approx(8 / 14)
    assert report["signature"] == "window:2048|stride:1024|first:unscored"


def test_the_text_that_is_foreseen_worst_is_worth_a_look(tmp_path: Path) -> None:
    engine = ScriptedEngine(likelihoods=lambda prompt, word: -4.0 if "x" in word else -1.0)
    file = written(tmp_path, [{"text": "a b c"}, {"text": "a x x"}])
    report = told(invoke("evaluate", "--json", "--errors", "1", file, engine=engine))
    assert [wrong["text"] for wrong in report["errors"]] == ["a x x"]
    assert report["errors"][0]["score"] == pytest.approx(math.exp(4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", "4000"], "--window 4000 is not between 2 and the context's 2048 tokens"),
        (["--window", "64", "--stride", "65"], "--stride 65 is longer than the window of 64 tokens"),
    ],
)
def test_windows_that_cannot_be_are_refused(options: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words here")
    result = invoke("evaluate", *options, str(tmp_path / "a.txt"), engine=ScriptedEngine())
    assert result.code == 2
    assert said in result.stderr


def test_a_classifier_foresees_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some words here")
    result = invoke("evaluate", str(tmp_path / "a.txt"), engine=classifier())
    assert result.code == 3
    assert "scripted is a classifier" in result.stderr


def test_a_limit_draws_examples_by_the_seed(tmp_path: Path) -> None:
    rows = [{"text": f"good {n}", "label": "positive"} for n in range(50)]
    rows += [{"text": f"bad {n}", "label": "negative"} for n in range(50)]
    file = written(tmp_path, rows)

    def judged(seed: int) -> list[str]:
        engine = classifier()
        told(invoke("evaluate", "--json", "--limit", "20", "--seed", str(seed), file, engine=engine))
        return [text for batch in engine.batches for text in batch]

    first = judged(0)
    assert len(first) == 20
    assert first == judged(0) != judged(1)
    assert {text.split()[0] for text in first} == {"good", "bad"}  # The file is sorted by label.
    assert first == sorted(first, key=[row["text"] for row in rows].index)


def test_wrong_answers_are_shown_surest_first(tmp_path: Path) -> None:
    rows = [{"text": "good", "label": "negative"}, {"text": "good good good", "label": "negative"},
            {"text": "bad", "label": "negative"}, {"text": "bad", "label": "positive"}]  # fmt: skip
    result = invoke("evaluate", written(tmp_path, rows), "--errors", engine=classifier())
    errors = result.stdout.split("\n\n")[-1].splitlines()
    assert errors == [
        "2\tnegative\tpositive\t0.8\tgood good good",
        "1\tnegative\tpositive\t0.667\tgood",
        "4\tpositive\tnegative\t0.667\tbad",
    ]


def test_a_file_behind_errors_is_told_to_stand_before_it(tmp_path: Path) -> None:
    result = invoke("evaluate", "--errors", written(tmp_path, REVIEWS), engine=classifier())
    assert result.code == 2
    assert "write FILE --errors" in result.stderr


def test_all_answers_go_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    invoke("evaluate", "--predictions", str(out), written(tmp_path, REVIEWS), engine=classifier())
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["right"] for line in lines] == [True, True, False, True]
    assert lines[2]["text"] == "good, not bad, good"
    assert (lines[2]["line"], lines[2]["checkpoint"]) == (3, "scripted")
    result = invoke(
        "evaluate", "--predictions", str(tmp_path), written(tmp_path, REVIEWS), engine=classifier()
    )  # fmt: skip
    assert result.code == 1
    assert "cannot be written" in result.stderr


def test_a_text_that_fails_is_told_and_counts_as_wrong(tmp_path: Path) -> None:
    rows = [*QUESTIONS[:1], QUESTIONS[1] | {"question": "Whom did " + "Anna " * 300 + "meet?"}]
    engine = ScriptedEngine(["Rome"], context_length=400)
    result = invoke("evaluate", "--json", "--errors", "9", written(tmp_path, rows), engine=engine)
    report = told(result)
    assert report["failed"] == 1
    assert value(report, "exact_match") == 0.5
    assert "rows.jsonl, line 2: the context of scripted holds 400 tokens" in result.stderr
    assert "400 tokens" in report["errors"][0]["error"]


def test_where_no_text_is_answered_the_reason_is_the_error(tmp_path: Path) -> None:
    result = invoke("evaluate", written(tmp_path, QUESTIONS), engine=ScriptedEngine(context_length=50))
    assert result.code == 5
    assert "holds 50 tokens" in result.stderr
    assert result.stdout == ""


def compared(folder: Path, first: ScriptedEngine, second: ScriptedEngine, *arguments: str) -> Result:
    """Run with two checkpoints, each with its own engine."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory(prefix="lmcli-test-") as place:
        names = ("first", "second")
        paths = [folder_checkpoint(Path(place) / name, first.checkpoint.kind) for name in names]
        engines = dict(zip(names, (first, second), strict=True))
        for name, engine in engines.items():
            engine.checkpoint = checkpoint(first.checkpoint.kind, name)
        environment = Environment(io.BytesIO(), stdout, stderr, sandbox(Path(place)),
                                  lambda found, *_: engines[found.name])  # fmt: skip
        code = run(["evaluate", "-m", str(paths[0]), "--compare", str(paths[1]), *arguments], environment)
    return Result(code, stdout.getvalue(), stderr.getvalue())


MANY = [{"text": f"good {n}", "label": "positive"} for n in range(20)]
MANY += [{"text": f"bad {n}", "label": "negative"} for n in range(20)]


def test_two_checkpoints_are_compared_on_the_same_examples(tmp_path: Path) -> None:
    always = classifier(lambda text: {"NEGATIVE": 0.4, "POSITIVE": 0.6})
    result = compared(tmp_path, always, classifier(), "--json", "--errors", "2", written(tmp_path, MANY))
    report = told(result)
    other = report["compare"]
    assert (report["checkpoint"], other["checkpoint"]) == ("first", "second")
    assert value(report, "accuracy") == 0.5
    assert value(other["evaluation"], "accuracy") == 1
    difference = other["differences"]["accuracy"]
    assert difference["difference"] == 0.5
    assert 0.3 < difference["low"] < 0.5 < difference["high"] < 0.7
    assert difference["p"] < 0.01
    assert (other["mcnemar"]["only_first"], other["mcnemar"]["only_second"]) == (0, 20)
    assert other["mcnemar"]["p"] == pytest.approx(2 / 2**20)
    assert len(report["errors"]) == 2


def test_people_read_both_checkpoints_beside_each_other(tmp_path: Path) -> None:
    always = classifier(lambda text: {"NEGATIVE": 0.4, "POSITIVE": 0.6})
    result = compared(tmp_path, classifier(), always, written(tmp_path, MANY), "--errors", "1")
    assert result.code == 0, result.stderr
    figures, changes = result.stdout.split("\n\n")
    rows = [line.split("\t") for line in figures.splitlines()]
    assert rows[0][:4] == ["accuracy", "100.0 %", "50.0 %", "-50.0 %"]
    assert ["only this one right (McNemar)", "20", "0", "-20", "", "< 0.001"] in rows
    assert ["checkpoint", "first", "second", "", "", ""] in rows
    assert changes == "21\tnegative\tnegative\tpositive\tbad 0\n"


def test_translations_of_two_checkpoints_are_compared(tmp_path: Path) -> None:
    worse = ScriptedEngine(["Good day."], checkpoint=checkpoint("seq2seq"))
    report = told(compared(tmp_path, translator(), worse, "--json", written(tmp_path, SENTENCES)))
    found = report["compare"]["differences"]["chrf"]
    assert found["difference"] < 0
    assert report["compare"]["mcnemar"] is None


def test_perplexities_of_one_text_in_other_tokens_are_not_compared(tmp_path: Path) -> None:
    whole, halved = ScriptedEngine(likelihoods=lambda _, word: -1.0), ScriptedEngine(likelihoods=lambda _, word: -2.0)
    cut = halved.score_text
    halved.score_text = lambda text, *window: cut(text.replace("o", "o "), *window)  # type: ignore[method-assign]
    (tmp_path / "a.txt").write_text("one two three four")
    (tmp_path / "b.txt").write_text("five six or seven")
    alone = compared(tmp_path, whole, halved, str(tmp_path / "a.txt"))
    assert alone.code == 1
    assert "cut the one text into other tokens" in alone.stderr
    both = compared(tmp_path, whole, halved, "--json", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    assert told(both)["compare"]["differences"]["perplexity"]["difference"] == pytest.approx(math.e**2 - math.e)


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"text": "x", "label": "positive"}, "sentiment"),
        ({"text": "x", "label": ["sports", "news"], "title": "y"}, "classify"),
        ({"review": "x", "stars": [4, 5]}, "classify"),
        ({"text": "x", "target": ["a", "b"]}, "classify"),
        ({"text": "x", "summary": "y", "category": "sports"}, "summarize"),
        ({"en": "x", "zh": "二"}, "translate"),
        ({"context": "x", "question": "y", "answers": ["x"]}, "ask"),
        ({"question": "x", "choices": ["y", "z"], "answer": 0}, "choose"),
        ({"question": "x", "A": "y", "B": "z", "answer": "A"}, "choose"),
        ({"text": "two words"}, "generate"),
    ],
)
def test_the_columns_tell_the_task(row: dict[str, Any], task: str, tmp_path: Path) -> None:
    rows = [{name: cell[i] if name in ("label", "stars", "target") and isinstance(cell, list) else cell
             for name, cell in row.items()} for i in (0, 1)]  # fmt: skip
    report = told(invoke("evaluate", "--json", written(tmp_path, rows), engine=ScriptedEngine(["y"])))
    assert report["measured"] == task


def test_columns_that_tell_no_task_are_an_error(tmp_path: Path) -> None:
    result = invoke("evaluate", written(tmp_path, [{"one": "x", "other": "y"}]), engine=ScriptedEngine())
    assert result.code == 2
    assert "do not tell what it measures" in result.stderr
    assert "--task classify|sentiment" in result.stderr


def test_columns_can_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, [{"what": "good", "how": "positive"}, {"what": "bad", "how": "negative"}])
    arguments = ["--task", "sentiment", "--text-field", "what", "--answer-field", "how", "--json", file]
    assert value(told(invoke("evaluate", *arguments, engine=classifier())), "accuracy") == 1


def test_a_row_without_an_answer_is_told_by_its_place(tmp_path: Path) -> None:
    file = written(tmp_path, [*REVIEWS, {"text": "good", "label": ""}])
    result = invoke("evaluate", "--task", "sentiment", file, engine=classifier())
    assert result.code == 5
    assert "rows.jsonl, line 5 has no label" in result.stderr


def test_a_set_is_read_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "SST-2"
    folder.mkdir()
    (folder / "dev.tsv").write_text("sentence\tlabel\ngood film\t1\nbad film\t0\ngood, bad, bad\t0\n")
    for arguments in (["--folder", str(tmp_path), "sst2"], [str(folder)]):
        report = told(invoke("evaluate", "--json", *arguments, engine=classifier()))
        assert (report["measured"], value(report, "accuracy"), report["n"]) == ("sentiment", 1, 3)
        assert report["source"].startswith("sst2 (")
    result = invoke("evaluate", "--task", "translate", str(folder), engine=classifier())
    assert result.code == 2
    assert "sst2 measures 'sentiment', not 'translate'" in result.stderr


@pytest.mark.parametrize(
    ("names", "code", "said", "way_out"),
    [
        (["sst22"], 2, "'sst22' is neither a file nor a set", "did you mean sst2?"),
        (["nothing-like-it"], 2, "'nothing-like-it' is neither a file nor a set", "lmcli evaluate --sets"),
        (["sst2", "rte"], 2, "'sst2' stands beside other names", "one set at a time"),
        (["reviews.jsonl.gz"], 5, "reviews.jsonl.gz does not exist", "lmcli evaluate --sets"),
        (["./reviews"], 5, "./reviews does not exist", "name a file"),
    ],
)
def test_a_name_that_is_no_set_is_told(names: list[str], code: int, said: str, way_out: str) -> None:
    result = invoke("evaluate", *names, engine=classifier())
    assert result.code == code
    assert said in result.stderr
    assert way_out in result.stderr


def test_the_sets_are_listed(tmp_path: Path) -> None:
    rows = [line.split("\t") for line in invoke("evaluate", "--sets").stdout.splitlines()]
    assert {"sst2", "cola", "squad", "xquad-zh", "wmt19-en-zh"} <= {row[0] for row in rows}


def test_without_a_name_there_is_help() -> None:
    result = invoke("evaluate", engine=classifier())
    assert result.code == 2
    assert "Usage: lmcli evaluate" in result.stdout + result.stderr


def test_how_far_it_is_goes_to_standard_error(tmp_path: Path) -> None:
    result = invoke("evaluate", "--json", written(tmp_path, REVIEWS), engine=classifier(), terminal=True)
    assert json.loads(result.stdout)["n"] == 4
    assert "texts" in result.stderr
