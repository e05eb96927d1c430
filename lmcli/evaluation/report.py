"""The report: an evaluation or a comparison as the documented fields of JSON, and as the tables that people read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lmcli.evaluation.evaluation import Comparison, Evaluation, Resampling
from lmcli.evaluation.marks import Mark

Row = Mapping[str, Any]
_SHORT = 80  # characters of a text in a table
_MOST_LABELS = 20  # in a table of which is taken for which


@dataclass(frozen=True)
class Table:
    """Rows for people; `columns` maps a row's key to its heading."""

    rows: Sequence[Row]
    columns: Mapping[str, str]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _decimals(count: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{count}f}"


# What a figure is called, and how it is written.
FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "accuracy": ("accuracy", _percent),
    "accuracy_normalized": ("accuracy, normalized", _percent),
    "macro_f1": ("macro F1", _decimals(3)),
    "matthews": ("Matthews correlation", _decimals(3)),
    "pearson": ("Pearson correlation", _decimals(3)),
    "spearman": ("Spearman correlation", _decimals(3)),
    "bleu": ("BLEU", _decimals(1)),
    "chrf": ("chrF2", _decimals(1)),
    "rouge1": ("ROUGE-1", _decimals(3)),
    "rouge2": ("ROUGE-2", _decimals(3)),
    "rougeL": ("ROUGE-L", _decimals(3)),
    "exact_match": ("exact match", _percent),
    "f1": ("F1", _decimals(3)),
    "perplexity": ("perplexity", _decimals(2)),
    "bits_per_byte": ("bits per byte", _decimals(4)),
    "bits_per_character": ("bits per character", _decimals(4)),
}


def record(evaluation: Evaluation, source: str, errors: int) -> dict[str, Any]:
    """The documented fields of one checkpoint's evaluation."""
    marked = evaluation.marked
    figures = {name: {"value": value, **_bounds(evaluation, name)} for name, value in evaluation.figures.items()}
    fields = {
        "task": "evaluate", "measured": evaluation.task, "checkpoint": evaluation.checkpoint, "source": source,
        "n": evaluation.n, "failed": marked.failed, "seconds": evaluation.seconds,
        "texts_per_second": evaluation.per_second, "figures": figures, "signature": marked.signature, **marked.details,
    }  # fmt: skip
    return fields | ({"errors": [mark.record() for mark in marked.worst(errors)]} if errors else {})


def comparison_record(comparison: Comparison, source: str, errors: int, resampling: Resampling) -> dict[str, Any]:
    """The documented fields of two evaluations; the second is compared to the first."""
    fields = record(comparison.first, source, errors) | asdict(resampling)
    compared = {
        "checkpoint": comparison.second.checkpoint,
        "evaluation": record(comparison.second, source, errors),
        "differences": {name: asdict(found) for name, found in comparison.differences.items()},
        "mcnemar": asdict(comparison.mcnemar) if comparison.mcnemar else None,
    }
    return fields | {"compare": compared}


def tables(evaluation: Evaluation, errors: int) -> list[Table]:
    """The figures, then what there is of labels, then the answers worth a look."""
    rows = [
        _cells(FIGURES[name][0], FIGURES[name][1](value), _span(name, _bounds(evaluation, name)))
        for name, value in evaluation.figures.items()
    ]  # fmt: skip
    found = [Table([*rows, *_about(evaluation)], {"figure": "FIGURE", "value": "VALUE", "interval": "95 % INTERVAL"})]
    found += _of_labels(evaluation.marked.details)
    return found + ([_of_errors(evaluation.marked.worst(errors))] if errors else [])


def comparison_tables(comparison: Comparison, errors: int) -> list[Table]:
    """Both checkpoints' figures, how they differ, and the answers they differ on."""
    first, second = comparison.first, comparison.second
    rows: list[Row] = []
    for name, found in comparison.differences.items():
        label, write = FIGURES[name]
        rows.append({
            "figure": label, "first": write(first.figures[name]), "second": write(second.figures[name]),
            "difference": _signed(name, found.difference), "interval": _span(name, vars(found), _signed),
            "p": _probability(found.p),
        })  # fmt: skip
    if test := comparison.mcnemar:
        rows.append({
            "figure": "only this one right (McNemar)", "first": test.only_first, "second": test.only_second,
            "difference": f"{test.only_second - test.only_first:+d}", "interval": "", "p": _probability(test.p),
        })  # fmt: skip
    for name, count in {"checkpoint": lambda one: one.checkpoint, **_ABOUT}.items():
        rows.append({"figure": name, "first": count(first), "second": count(second), "difference": "", "interval": "",
                     "p": ""})  # fmt: skip
    columns = {"figure": "FIGURE", "first": "FIRST", "second": "SECOND", "difference": "DIFFERENCE",
               "interval": "95 % INTERVAL", "p": "P"}  # fmt: skip
    return [Table(rows, columns), *([_of_changes(comparison, errors)] if errors else [])]


_ABOUT: dict[str, Callable[[Evaluation], str]] = {
    "texts": lambda evaluation: f"{evaluation.n:,}",
    "texts/s": lambda evaluation: f"{evaluation.per_second:,.1f}",
}


def _about(evaluation: Evaluation) -> list[Row]:
    rows = [_cells("checkpoint", evaluation.checkpoint)]
    rows += [_cells(name, write(evaluation)) for name, write in _ABOUT.items()]
    if evaluation.marked.failed:
        rows.append(_cells("without an answer", f"{evaluation.marked.failed:,}"))
    return rows


def _cells(figure: str, value: str, interval: str = "") -> Row:
    return {"figure": figure, "value": value, "interval": interval}


def _bounds(evaluation: Evaluation, name: str) -> dict[str, float | None]:
    found = evaluation.intervals.get(name)
    return {"low": found.low if found else None, "high": found.high if found else None}


def _plain(name: str, value: float) -> str:
    return FIGURES[name][1](value)


def _signed(name: str, value: float) -> str:
    return f"{'+' if value >= 0 else ''}{_plain(name, value)}"


def _probability(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.0005 else "< 0.001"


def _span(name: str, bounds: Mapping[str, Any], write: Callable[[str, float], str] = _plain) -> str:
    if bounds["low"] is None:
        return ""
    return f"{write(name, bounds['low']).removesuffix(' %')} to {write(name, bounds['high'])}"


def _of_labels(details: Mapping[str, Any]) -> list[Table]:
    """Each label's own figures, and which is taken for which."""
    labels = details.get("labels") or []
    if not labels:
        return []
    rows = [
        {"label": one["name"], "support": one["support"],
         **{name: f"{one[name]:.3f}" for name in ("precision", "recall", "f1")}} for one in labels
    ]  # fmt: skip
    columns = {"label": "LABEL", "precision": "PRECISION", "recall": "RECALL", "f1": "F1", "support": "TEXTS"}
    own = Table(rows, columns)
    return [own, _of_confusion(details["confusion"])] if len(labels) <= _MOST_LABELS else [own]


def _of_confusion(confusion: Mapping[str, Any]) -> Table:
    names = confusion["labels"]
    rows = [{"": name, **dict(zip(names, counts, strict=True))} for name, counts in
            zip(names, confusion["rows"], strict=True)]  # fmt: skip
    return Table(rows, {"": "WANTED \\ TOLD", **{name: name for name in names}})


def _of_errors(marks: Sequence[Mark]) -> Table:
    rows = [_error(mark) for mark in marks]
    return Table(rows, {"place": "ROW", "wanted": "WANTED", "got": "GOT", "score": "SCORE", "text": "TEXT"})


def _error(mark: Mark) -> Row:
    score = "" if mark.score is None else f"{mark.score:.3g}"
    wanted = _short(mark.wanted[0] if mark.wanted else "")
    got = _short(mark.error or mark.got)
    return {"place": _line(mark), "wanted": wanted, "got": got, "score": score, "text": _short(mark.text)}


def _of_changes(comparison: Comparison, count: int) -> Table:
    """The answers on which the two differ the most, those first that the second lost."""
    pairs = list(zip(comparison.first.marked.marks, comparison.second.marked.marks, strict=True))
    differing = [pair for pair in pairs if _differ(*pair)]
    differing.sort(key=lambda pair: (bool(pair[1].right), _value(pair[1]) - _value(pair[0])))
    rows = [
        {"place": _line(one), "wanted": _short(one.wanted[0] if one.wanted else ""), "first": _short(one.got),
         "second": _short(other.got), "text": _short(one.text)} for one, other in differing[:count]
    ]  # fmt: skip
    columns = {"place": "ROW", "wanted": "WANTED", "first": "FIRST", "second": "SECOND", "text": "TEXT"}
    return Table(rows, columns)


def _differ(one: Mark, other: Mark) -> bool:
    return one.right != other.right or (one.right is None and (one.got, one.score) != (other.got, other.score))


def _value(mark: Mark) -> float:
    return mark.rank if mark.right is None else float(mark.right)


def _line(mark: Mark) -> str:
    return str(mark.place.line) if mark.place.file else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
