"""Label checks: whether labels can be learned from their examples."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from lmcli.data.examples import Example
from lmcli.data.findings import Checked, Finding, listed, rows
from lmcli.data.splitting import same_text

FEW = 10  # examples of a label, from which little can be learned
IMBALANCE = 10  # times as many examples has the most frequent label than the rarest
_SHOWN = 8  # labels in a message

Key = tuple[str, str]


def check_conflicts(data: Checked) -> Checked:
    """Without the examples whose text has another label more often, or as often."""
    labels: dict[Key, Counter[str]] = defaultdict(Counter)
    for example in data.train:
        labels[_key(example)][example.answer] += 1
    right = {key: _most_frequent(counts) for key, counts in labels.items() if len(counts) > 1}
    return data.without(
        "conflict",
        "the text labelled otherwise elsewhere, at least as often",
        lambda example: right.get(_key(example), example.answer) != example.answer,
        validation=False,
    )


def check_labels(data: Checked) -> Checked:
    """Told of labels that are one only, as many as texts, spelled in two ways, rare, unequal, or only validated."""
    counts = Counter(example.answer for example in data.train)
    first = data.train[0].place
    if len(counts) == 1:
        message = f"all {rows(sum(counts.values()))} have the label '{next(iter(counts))}'"
        return data.told(Finding("one label", "error", message, (first,), "--answer-field names the column of labels"))
    if _are_texts(counts):
        message = f"{len(counts):,} labels in {rows(sum(counts.values()))}: these are no classes"
        return data.told(Finding("no classes", "error", message, (first,), "--answer-field names the column of labels"))
    return data.told(*_spelled_twice(counts), *_rare(counts), *_unequal(counts), *_unknown(data.validation, counts))


def _key(example: Example) -> Key:
    return same_text(example.text), same_text(example.second or "")


def _most_frequent(counts: Counter[str]) -> str | None:
    (label, most), (_, next_most) = counts.most_common(2)
    return label if most > next_most else None


def _are_texts(counts: Mapping[str, int]) -> bool:
    """Whether nearly every row has a label of its own, as in a column of texts or numbers."""
    return len(counts) > 20 and 2 * len(counts) > sum(counts.values())


def _spelled_twice(counts: Mapping[str, int]) -> list[Finding]:
    spelled: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        spelled[same_text(label)].append(label)
    twice = [" and ".join(f"'{label}'" for label in labels) for labels in spelled.values() if len(labels) > 1]
    if not twice:
        return []
    message = f"labels that differ by case or spaces alone are labels of their own: {', '.join(twice[:_SHOWN])}"
    return [Finding("spelling", "warning", message, hint="write each label in one way")]


def _rare(counts: Mapping[str, int]) -> list[Finding]:
    rare = {label: count for label, count in counts.items() if count < FEW}
    if not rare:
        return []
    shown = ", ".join(f"'{label}' ({count})" for label, count in list(rare.items())[:_SHOWN])
    more = f" and {len(rare) - _SHOWN} more" if len(rare) > _SHOWN else ""
    return [Finding("rare", "warning", f"labels with fewer than {FEW} examples are hardly learned: {shown}{more}")]


def _unequal(counts: Counter[str]) -> list[Finding]:
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many < IMBALANCE * few:
        return []
    message = f"'{most}' has {many:,} examples, '{least}' {few:,}"
    return [Finding("imbalance", "warning", message, hint="--class-weights gives each label the same weight")]


def _unknown(validation: Sequence[Example], counts: Mapping[str, int]) -> list[Finding]:
    unknown = [example for example in validation if example.answer not in counts]
    if not unknown:
        return []
    label, places = unknown[0].answer, tuple(example.place for example in unknown)
    near = difflib.get_close_matches(label, counts, n=1)
    hint = f"did it mean '{near[0]}'?" if near else "train on examples of it, too"
    message = f"{rows(len(unknown))} of validation with labels that are never trained on, such as '{label}'"
    return [Finding("unknown label", "error", f"{message}: {listed(places)}", places, hint)]
