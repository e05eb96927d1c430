"""The table of sets: which repository of the hub holds each, in which file, and how its authors' own files are called.

JSONL goes before Parquet, because it needs no further package. SetFit's files of GLUE have the rows of its validation
sets with numbers for labels; lighteval's of WMT are those of sacrebleu.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lmcli.data.examples import USUAL, Columns
from lmcli.task_names import ExampleTask


@dataclass(frozen=True)
class Layout:
    """A set in its authors' own files: `files` are the names that one of them may have, in the folder or one inside
    of it that is called `folder`. `header` names the columns where the file does not. Of a translation `pairs` are the
    names of source and reference."""

    folder: str
    files: tuple[str, ...] = ()
    columns: Columns = USUAL
    header: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class EvaluationSet:
    """A set, what it asks, and where it is.

    `files` are patterns for its file in the repository `repo_id`, the best first. `labels` are the names of labels that
    are given as numbers.
    """

    name: str
    about: str
    task: ExampleTask
    repo_id: str | None
    files: tuple[str, ...]
    layout: Layout
    columns: Columns = USUAL
    labels: tuple[str, ...] = ()
    languages: tuple[str, str] | None = None


_TWO = Columns("text1", "label", "text2")
_ENTAILS = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_DEV = ("dev.tsv",)


def _glue() -> Iterator[EvaluationSet]:
    """GLUE (Wang et al. 2019, arXiv:1804.07461), its validation sets, for which labels are published."""
    sentences = Columns("sentence1", "label", "sentence2")
    rows = {
        "sst2": ("film reviews, positive or negative", "SST-2", Columns("sentence", "label"), ("negative", "positive")),
        "mrpc": ("do two sentences say the same?", "MRPC", Columns("#1 String", "Quality", "#2 String"),
                 ("not_equivalent", "equivalent")),
        "qqp": ("do two questions ask the same?", "QQP", Columns("question1", "is_duplicate", "question2"),
                ("not_duplicate", "duplicate")),
        "qnli": ("does a sentence answer the question?", "QNLI", Columns("question", "label", "sentence"), _ENTAILS),
        "rte": ("does a sentence follow from a text?", "RTE", sentences, _ENTAILS),
        "wnli": ("whom does the pronoun mean?", "WNLI", sentences, ("not_entailment", "entailment")),
    }  # fmt: skip
    for name, (about, folder, columns, labels) in rows.items():
        one = name == "sst2"
        yield EvaluationSet(
            name, about, "classify", f"SetFit/{name}", ("dev.jsonl" if one else "validation.jsonl",),
            Layout(folder, _DEV, columns), Columns("text", "label") if one else _TWO, labels,
        )  # fmt: skip
    yield EvaluationSet(
        "cola", "is the sentence English?", "classify", "nyu-mll/glue", ("cola/validation-*.parquet",),
        Layout("CoLA", _DEV, Columns("sentence", "label"), ("source", "label", "star", "sentence")),
        Columns("sentence", "label"), ("unacceptable", "acceptable"),
    )  # fmt: skip
    yield EvaluationSet(
        "stsb", "how alike are two sentences, 0 to 5?", "score", "nyu-mll/glue", ("stsb/validation-*.parquet",),
        Layout("STS-B", _DEV, Columns("sentence1", "score", "sentence2")), Columns("sentence1", "label", "sentence2"),
    )  # fmt: skip
    told = Columns("sentence1", "gold_label", "sentence2")
    yield EvaluationSet(
        "mnli", "does a sentence follow, of the same genres?", "classify", "SetFit/mnli",
        ("validation_matched.jsonl",), Layout("MNLI", ("dev_matched.tsv",), told), _TWO, _NLI,
    )  # fmt: skip
    yield EvaluationSet(
        "mnli-mm", "does a sentence follow, of other genres?", "classify", "nyu-mll/glue",
        ("mnli/validation_mismatched-*.parquet",), Layout("MNLI", ("dev_mismatched.tsv",), told),
        Columns("premise", "label", "hypothesis"), _NLI,
    )  # fmt: skip


def _questions() -> Iterator[EvaluationSet]:
    """SQuAD (Rajpurkar et al. 2016 and 2018), XQuAD (Artetxe et al. 2020), CMRC 2018 (Cui et al. 2019)."""
    yield EvaluationSet(
        "squad", "questions about Wikipedia, each with an answer", "ask", "rajpurkar/squad",
        ("plain_text/validation-*.parquet",), Layout("squad", ("dev-v1.1.json",)),
    )  # fmt: skip
    yield EvaluationSet(
        "squad2", "questions about Wikipedia, half of them without an answer", "ask", "rajpurkar/squad_v2",
        ("squad_v2/validation-*.parquet",), Layout("squad2", ("dev-v2.0.json",)),
    )  # fmt: skip
    for code in ("en", "zh", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi"):
        yield EvaluationSet(
            f"xquad-{code}", f"1,190 questions of SQuAD in the language {code}", "ask", "google/xquad",
            (f"xquad.{code}/validation-*.parquet",), Layout("xquad", (f"xquad.{code}.json",)),
        )  # fmt: skip
    yield EvaluationSet(
        "cmrc2018", "questions about the Chinese Wikipedia", "ask", "hfl/cmrc2018", ("data/validation-*.parquet",),
        Layout("cmrc2018", ("cmrc2018_dev.json", "cmrc2018_trial.json")),
    )  # fmt: skip


def _translations() -> Iterator[EvaluationSet]:
    """The news of WMT's shared tasks, 2014 to 2022, as sacrebleu reads them."""
    for year in range(14, 23):
        for source, target in (("en", "de"), ("de", "en"), ("en", "zh"), ("zh", "en")):
            if year >= 17 or "zh" not in (source, target):
                yield _wmt(year, source, target)


def _wmt(year: int, source: str, target: str) -> EvaluationSet:
    task, pair = f"wmt{year}", f"{source}-{target}"
    repo_id: str | None = "lighteval/sacrebleu_manual"
    files: tuple[str, ...] = (f"{task}/{pair}.jsonl", f"{task}_{pair}/*.parquet")
    if year == 21:
        repo_id, files = None, ()
    if year == 22:
        repo_id, files = "haoranxu/WMT22-Test", (f"{pair}/test-*.parquet",)
    news, joined = f"newstest20{year}", f"{source}{target}"
    pairs = [(f"{task}.{pair}.src", f"{task}.{pair}.ref*"),
             (f"{news}-{joined}-src.{source}.sgm", f"{news}-{joined}-ref.{target}.sgm")]  # fmt: skip
    if year == 14:  # That year's files are one for both directions.
        pairs += [(f"{news}-deen-src.{source}.sgm", f"{news}-deen-ref.{target}.sgm")]
    return EvaluationSet(
        f"{task}-{pair}", f"news of 20{year}, {source} to {target}", "translate", repo_id, files,
        Layout(task, (f"{task}-{pair}.tsv",), pairs=tuple(pairs)), languages=(source, target),
    )  # fmt: skip


SETS = {found.name: found for make in (_glue, _questions, _translations) for found in make()}
