"""Length checks: how many examples are longer than a model takes."""

from __future__ import annotations

import random
from collections.abc import Callable

from lmcli.data.examples import Example
from lmcli.data.findings import Checked, Finding
from lmcli.task_names import TrainingTask

SAMPLE = 4000  # examples that are counted; of more the share is an estimate
_LONGEST = 50  # by their characters, that are counted whatever the sample is

Count = Callable[[str], int]


def check_lengths(
    data: Checked, task: TrainingTask, count: Count, max_length: int, possible: int
) -> list[Finding]:  # fmt: skip
    """How many examples would be cut at `max_length` tokens; texts that are to be continued are cut nowhere."""
    if task in ("generate", "masked"):
        return []
    longest = sorted(data.train, key=_characters, reverse=True)[:_LONGEST]
    sample = random.Random(0).sample(data.train, SAMPLE) if len(data.train) > SAMPLE else data.train
    lengths = [_tokens(example, count) for example in sample]
    most, place = max((_tokens(example, count), str(example.place)) for example in longest)
    if max(most, *lengths) <= max_length:
        return []
    share = _share(sum(length > max_length for length in lengths), len(lengths), len(data.train))
    message = f"longer than {max_length:,} tokens, and cut there: {share}; the longest has {most:,}: {place}"
    places = tuple(example.place for example in longest if _tokens(example, count) > max_length)
    # Where there is no end of what is possible, more than the longest example is not wanted.
    more = f"--max-length {min(possible, most)} takes more" if possible > max_length else "the checkpoint takes no more"
    return [Finding("length", "warning", message, places, more)]


def _share(cut: int, counted: int, total: int) -> str:
    """How many of all examples, where so many of those that were counted are cut."""
    if counted == total:
        return f"{cut:,} of {total:,} examples ({100 * cut / total:.2g} %)"
    return f"about {100 * cut / counted:.2g} % of the examples" if cut else "a few examples"


def _tokens(example: Example, count: Count) -> int:
    """The tokens of its longer side, or of all that is read together."""
    if example.messages:
        return sum(count(message.content) for message in example.messages)
    if example.references:
        return max(count(example.text), count(example.answer))
    return count(example.text) + (count(example.second) if example.second else 0)


def _characters(example: Example) -> int:
    if example.messages:
        return sum(len(message.content) for message in example.messages)
    return max(len(example.text) + len(example.second or ""), len(example.answer))
