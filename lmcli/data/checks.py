"""Checks: all that can be told of examples before a step is taken: what is broken, empty, twice there or too long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from lmcli.data.chat_checks import check_turns
from lmcli.data.examples import BrokenRow, Example, Place
from lmcli.data.findings import Checked, Finding, left_out
from lmcli.data.label_checks import check_conflicts, check_labels
from lmcli.data.length_checks import check_lengths
from lmcli.data.pair_checks import check_pairs
from lmcli.data.splitting import identity, same_text
from lmcli.errors import InputError
from lmcli.task_names import TrainingTask

__all__ = ["KEEPABLE", "Checked", "Finding", "check", "raise_errors"]

# Kinds of findings that a user may see otherwise: a dictionary is no prose, and a slogan may stand there twice.
KEEPABLE = frozenset({"conflict", "duplicate", "overlap", "script", "untranslated", "ratio", "turns"})


def check(
    train: Sequence[Example],
    validation: Sequence[Example],
    task: TrainingTask,
    broken: Sequence[BrokenRow] = (),
    count: Callable[[str], int] | None = None,
    max_length: int | None = None,
    possible: int | None = None,
    keep: Collection[str] = (),
) -> Checked:
    """What may be used of `train` and `validation`, and what was found.

    Rows that cannot serve are left out of both; what is twice there, contradicts itself, is no translation or is part
    of `validation` is left out of `train` alone, so that a measure stays what it was. What findings of the kinds in
    `keep` would leave out stays. A row that is given several times by its own file's name is no duplicate: that is how
    it is weighted. With `count`, the tokens of a text, and `max_length`, the most tokens that are read, what would be
    cut is told, and whether the model could take more, `possible` tokens at most.
    """
    data = Checked(tuple(train), tuple(validation), tuple(_unreadable(broken)), frozenset(keep) & KEEPABLE)
    data = data.without("empty", f"without {_needed(task)}", lambda example: _is_empty(example, task))
    if task == "chat":
        data = check_turns(data)
    if task == "translate":
        data = check_pairs(data)
    if task == "classify":
        data = check_conflicts(data)
    data = _without_overlap(_without_duplicates(data))
    if not data.train:
        return data.told(Finding("nothing", "error", "no example is left to train on", hint="see what was left out"))
    if task == "classify":
        data = check_labels(data)
    if count and max_length:
        data = data.told(*check_lengths(data, task, count, max_length, possible or max_length))
    return data


def raise_errors(findings: Sequence[Finding]) -> None:
    """Raises InputError with the first of the errors, where there is one, and says how many more there are."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise InputError(errors[0].message + more, errors[0].hint)


def _unreadable(broken: Sequence[BrokenRow]) -> list[Finding]:
    if not broken:
        return []
    places = [row.place for row in broken]
    return [left_out("unreadable", f"unreadable ({broken[0].reason})", places)]


def _needed(task: TrainingTask) -> str:
    needed = {"classify": "a text or a label", "translate": "a source or a translation", "chat": "a message"}
    needed["summarize"] = "a text or a summary"
    return needed.get(task, "a text")


def _is_empty(example: Example, task: TrainingTask) -> bool:
    if task == "chat":
        return not any(message.content.strip() for message in example.messages)
    empty = not example.text.strip() or (example.second is not None and not example.second)
    return empty or (task not in ("generate", "masked") and not example.answer.strip())


def _without_duplicates(data: Checked) -> Checked:
    """Of examples that are the same but for case and spaces the first."""
    first: dict[tuple[str, ...], Place] = {}
    repeated = {
        id(example) for example in data.train if first.setdefault(_content(example), example.place) != example.place
    }
    reason = "the same as an earlier one"
    return data.without("duplicate", reason, lambda example: id(example) in repeated, validation=False)


def _without_overlap(data: Checked) -> Checked:
    if not data.validation:
        return data
    measured = {key for example in data.validation for key in _keys(example)}
    return data.without(
        "overlap",
        "the text kept for validation",
        lambda example: not measured.isdisjoint(_keys(example)),
        validation=False,
    )


def _content(example: Example) -> tuple[str, ...]:
    if example.messages:
        return tuple(same_text(message.content) for message in example.messages)
    return same_text(example.text), same_text(example.answer), same_text(example.second or "")


def _keys(example: Example) -> set[tuple[str, ...]]:
    """What an example is known again by, whatever its answer; a translation in the other direction, too."""
    if example.messages:
        return {_content(example)}
    second = same_text(example.second or "")
    return {(same_text(text), second) for text in {example.text, identity(example)}}
