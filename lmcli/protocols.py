"""The engines as tasks and commands see them: a small protocol for each kind of checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lmcli.explanations import Weight
from lmcli.types import Checkpoint, Event, Prompt, SamplingParams


@dataclass(frozen=True)
class Stretch:
    """Some tokens of a text in a row: how many, their log-likelihood (nats, summed), and about what they say, where a
    character that is cut in two may be told as another."""

    tokens: int
    likelihood: float
    text: str


class CausalEngine(Protocol):
    """A decoder-only language model."""

    checkpoint: Checkpoint
    context_length: int  # tokens, prompt and answer together

    def prepare(self) -> None:
        """Make ready for long answers while there is time to; safe in another thread, and never needed."""

    def count(self, prompt: Prompt) -> int:
        """Tokens of `prompt`, with its template and special tokens."""

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        """Chunks of the continuation, then Done. Raises InputTooLong before the model runs."""

    def stream_many(self, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> Iterator[tuple[int, Event]]:
        """The streams of several prompts, one `params` each, worked side by side: events with their prompt's index.

        Prompts begin in order and end as they may, each with its own Done; its `decode_seconds` are its share of the
        steps it took with others. In float32 the answers are those of `stream`; in half precision a near tie may fall
        the other way. Raises InputTooLong before the model runs.
        """

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[float]:
        """The log-likelihood (nats, summed over tokens) of each continuation after `prompt`."""

    def score_many(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        """`score` of each prompt, several in one pass; what all prompts begin with is prefilled once.

        In float32 the likelihoods are those of `score`; in half precision the sums are rounded otherwise. Raises
        InputTooLong before the model runs.
        """

    def score_text(self, text: str, window: int, stride: int) -> Iterator[Stretch]:
        """The likelihood of `text`, of any length, each token once and in order, given those before it in its window.

        A window of `window` tokens, at most the context, moves on by `stride` of them, at most `window`: behind the
        first window each token sees at least `window - stride` others. The first token of all follows nothing and is
        not scored: it makes a first stretch of no tokens, which says what it says. Where the checkpoint begins every
        text with a token of its own, it is that one.
        """

    def explain(self, prompt: Prompt, params: SamplingParams, rivals: int, given: str | None = None) -> Iterator[Event]:
        """A Choice for each token of the continuation, with so many rivals, then Done; of `given` where it is there.

        A given text may be of any length: one that does not fit is read in windows, each token behind at least half
        a context. Raises InputTooLong for a prompt that leaves no room.
        """


class Seq2SeqEngine(Protocol):
    """An encoder-decoder: text in, text out."""

    checkpoint: Checkpoint
    context_length: int  # tokens of the encoder's input

    def count(self, prompt: Prompt) -> int:
        """Tokens of one input text, with its special tokens."""

    def languages(self) -> tuple[str, ...]:
        """The ISO codes it can translate into; empty where it does not say."""

    def rewrite(
        self, texts: Sequence[str], params: SamplingParams, source: str | None = None, target: str | None = None
    ) -> Iterator[Event]:
        """One Chunk for each text, in order, worked in batches, then Done.

        `source` and `target` are ISO codes for checkpoints that translate. Raises UsageError for a language the
        checkpoint does not know, InputTooLong for a text longer than its context.
        """


@dataclass(frozen=True)
class Target:
    """A probability that a classifier gives: that of `labels` together, as a share of `among` if they are not all."""

    labels: tuple[str, ...]
    among: tuple[str, ...] | None = None


class ClassifierEngine(Protocol):
    """A sequence classifier with the labels it was trained on."""

    checkpoint: Checkpoint
    context_length: int  # tokens of one text
    labels: tuple[str, ...]

    def count(self, prompt: Prompt) -> int:
        """Tokens of one input text, with its special tokens; two texts as a pair have no more than both together."""

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """For each text the probability of each of the checkpoint's own labels."""

    def logits(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[dict[str, float]]:
        """What `classify` makes probabilities of; with `seconds` each text is the first of a pair of two segments."""

    def attribute(self, text: str, target: Target) -> list[Weight]:
        """How much each token of `text` adds to a probability, by integrated gradients.

        Tokens without characters of the text are left out. Raises UsageError where there is no gradient to be had,
        InputTooLong for a text longer than the context.
        """


@dataclass(frozen=True)
class Found:
    """An answer in one of several texts: the characters `start` to `end` of `texts[text]`, and its probability."""

    text: int
    start: int
    end: int
    score: float


class QAEngine(Protocol):
    """An encoder that marks where in a text the answer to a question stands."""

    checkpoint: Checkpoint
    context_length: int  # tokens of a question and as much of a text as is read at once

    def count(self, prompt: Prompt) -> int:
        """Tokens of one text, with its special tokens."""

    def answer(self, question: str, texts: Sequence[str], top: int = 1) -> tuple[list[Found], float]:
        """The `top` likeliest answers of all the texts, no two overlapping, likeliest first; and how likely none is.

        Texts may be of any length: they are read in windows that overlap. Probabilities are over all spans of all
        texts. Raises InputTooLong for a question that leaves no room for a text.
        """


Engine = CausalEngine | Seq2SeqEngine | ClassifierEngine | QAEngine
