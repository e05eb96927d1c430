"""How often a quantized checkpoint that writes no text of its own says what the one says that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from lmcli.engine.loading import load_engine
from lmcli.engine.rewriting import RewritingEngine
from lmcli.errors import InputError
from lmcli.text.language import identify
from lmcli.text.segment import sentences
from lmcli.types import Checkpoint, Chunk, Event, LoadOptions, Progress, SamplingParams

_MOST = 64  # sentences that are translated, or asked as questions
_BATCH = 16  # sentences


@dataclass(frozen=True)
class Agreement:
    """How often two checkpoints say the same of so many `texts`, 0 to 1, and how far apart they are.

    `mean_change` is that of the probability of the label or the answer; of what encoder-decoders write it is the share
    of the characters that differ.
    """

    texts: int
    agreement: float
    mean_change: float


def agree(
    before: Checkpoint, after: Checkpoint, text: str, options: LoadOptions, report: Callable[[Event], None]
) -> Agreement:
    """Both classifiers on the sentences of `text`, both encoder-decoders on the first of them, each read greedily, or
    both readers of answers, which are asked its first sentences about all of it.

    Raises InputError for a text without a sentence that fits the context.
    """
    one, other = (_open(checkpoint, options) for checkpoint in (before, after))
    # A question shares the context with the text.
    room = one.context_length // (2 if before.kind == "qa" else 1)
    said = [sentence.strip() for sentence in sentences(text, wrapped=True) if sentence.strip()]
    said = [sentence for sentence in said if one.count(sentence) <= room]
    if before.kind != "classifier":
        said = said[:_MOST]
    if not said:
        raise InputError("the text to compare on has no sentence that fits the context", "give another: --text FILE")
    same, apart, done = 0, 0.0, 0
    for agreed, change in _PAIRS[before.kind](one, other, said, text):
        same, apart, done = same + agreed, apart + change, done + 1
        report(Progress(done, len(said), "sentences"))
    return Agreement(done, same / done, apart / done)


def _open(checkpoint: Checkpoint, options: LoadOptions) -> Any:
    return load_engine(checkpoint, replace(options, draft=None), lambda event: None)


def _labels(before: Any, after: Any, said: list[str], text: str) -> Iterator[tuple[bool, float]]:
    """Of each sentence whether the likeliest label is the same, and how its probability has changed."""
    for batch in _batches(said):
        for was, became in zip(before.classify(batch), after.classify(batch), strict=True):
            label = max(was, key=lambda name: was[name])
            yield label == max(became, key=lambda name: became[name]), abs(was[label] - became[label])


def _answers(before: Any, after: Any, said: list[str], text: str) -> Iterator[tuple[bool, float]]:
    """Of each sentence, asked as a question, whether the same piece of the text answers it, and how surely."""
    for question in said:
        (was, *_), (became, *_) = (engine.answer(question, [text])[0] for engine in (before, after))
        yield (was.start, was.end) == (became.start, became.end), abs(was.score - became.score)


def _writings(before: Any, after: Any, said: list[str], text: str) -> Iterator[tuple[bool, float]]:
    """Of each sentence whether the same is written for it, and how many of the characters differ."""
    target = next((code for code in before.languages() if code != identify(text)), None)
    for batch in _batches(said):
        for was, became in zip(*(_greedy(engine, batch, target) for engine in (before, after)), strict=True):
            yield was == became, 1 - SequenceMatcher(None, was, became, autojunk=False).ratio()


def _batches(said: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(said), _BATCH):
        yield said[first : first + _BATCH]


def _greedy(engine: RewritingEngine, texts: list[str], target: str | None) -> list[str]:
    # Beams would hide what rounding does to the likeliest token, or make more of it.
    engine.rewriter.options = engine.rewriter.options | {"num_beams": 1}
    events = engine.rewrite(texts, SamplingParams(), None, target)
    return [event.text for event in events if isinstance(event, Chunk)]


_PAIRS: dict[str, Callable[[Any, Any, list[str], str], Iterator[tuple[bool, float]]]] = {
    "classifier": _labels,
    "qa": _answers,
    "seq2seq": _writings,
}
