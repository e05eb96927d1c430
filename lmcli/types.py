"""The values that travel through lmcli: checkpoints, conversations, sampling parameters, events, results.

Everything here is frozen and made of the standard library, so any file may import it at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lmcli.explanations import Choice, Explanation

Kind = Literal["causal", "seq2seq", "classifier", "qa", "encoder"]  # an encoder has no head yet
Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "interrupted"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder on this machine: config, safetensors weights and tokenizer.

    `dtype` is the weights' own on disk (`bfloat16`, `float16`, `float32`); `instruct` says whether it carries a
    chat template; `license` is an SPDX-like id or None where nothing says.
    """

    name: str
    path: Path
    revision: str | None
    model_type: str
    kind: Kind
    dtype: str
    num_parameters: int
    size_bytes: int
    license: str | None = None
    instruct: bool = False


@dataclass(frozen=True)
class LoadOptions:
    """How a checkpoint is to run.

    `device` is auto, cpu, cuda, cuda:N or mps; `dtype` auto, float32, bfloat16 or float16. `bits` 8 or 4 keeps the
    weights of the linear layers in so many bits each, None as the checkpoint has them. `context` is the most tokens the
    KV cache may hold, None as many as the checkpoint was made for. `low_memory` makes no faster copies of the weights.
    With `cache_prompt` the keys and values of a prompt's tokens are kept in `prompt_dir`, of all prompts at most
    `prompt_dir_bytes`, and a prompt that begins like one of them is prefilled from there on. `draft` is a smaller
    checkpoint of the same vocabulary that guesses the next tokens, for the checkpoint to check.
    """

    device: str = "auto"
    dtype: str = "auto"
    bits: int | None = None
    context: int | None = None
    low_memory: bool = False
    trust_remote_code: bool = False
    cache_prompt: bool = False
    prompt_dir: Path | None = None
    prompt_dir_bytes: int = 0
    draft: Checkpoint | None = None


@dataclass(frozen=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """An optional system message followed by turns of user and assistant."""

    messages: tuple[Message, ...] = ()

    def add(self, role: Role, content: str) -> Conversation:
        return Conversation((*self.messages, Message(role, content)))

    @staticmethod
    def ask(prompt: str, system: str | None = None) -> Conversation:
        """The conversation of one question."""
        opening = Conversation().add("system", system) if system else Conversation()
        return opening.add("user", prompt)


@dataclass(frozen=True)
class Grammar:
    """What an answer must look like, as text: a JSON schema, a regular expression, or a grammar in Lark's notation."""

    kind: Literal["json", "regex", "lark"]
    source: str


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen and when to stop.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1 switch a filter off.
    `max_tokens` None is as many as the context holds. `seed` None draws a fresh one. With `think` False a reasoning
    checkpoint whose template can do so answers at once. With a `grammar`, which only decoders can follow, no token is
    chosen that it does not allow, and nothing is thought before; an answer that was not cut is all of what it asks for.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    think: bool = True
    grammar: Grammar | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens and seconds of one answer.

    `prompt_tokens` includes `cached_tokens`, those the KV cache already held. `ttft_seconds` is from the request to
    the first token, `decode_seconds` from there to the last one. Of `guessed_tokens`, guessed from the text or by a
    draft and checked together, `accepted_tokens` were right.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    ttft_seconds: float = 0.0
    decode_seconds: float = 0.0
    guessed_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def decode_tokens_per_second(self) -> float:
        return max(self.completion_tokens - 1, 0) / self.decode_seconds if self.decode_seconds else 0.0

    def __add__(self, other: Usage) -> Usage:
        """The usage of two answers worked one after the other; the first token is the first one's."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.ttft_seconds or other.ttft_seconds,
            self.decode_seconds + other.decode_seconds,
            self.guessed_tokens + other.guessed_tokens,
            self.accepted_tokens + other.accepted_tokens,
        )


@dataclass(frozen=True)
class Chunk:
    """A piece of the answer, whole characters only; `cut` says of a rewritten text that it ended at its longest."""

    text: str
    cut: bool = False


@dataclass(frozen=True)
class Reasoning:
    """A piece of what a reasoning checkpoint thinks before it answers."""

    text: str


@dataclass(frozen=True)
class Label:
    """A classification: the likeliest label and the probability of every label.

    Where several labels may hold at once, or none, `holding` are those that do, likeliest first.
    """

    name: str
    scores: dict[str, float]
    holding: tuple[str, ...] | None = None
    explanation: Explanation | None = None

    @property
    def score(self) -> float:
        return self.scores[self.name]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that the text has."""
        return (self.name,) if self.holding is None else self.holding


@dataclass(frozen=True)
class Progress:
    """How much of a task is done, in the task's own parts (`unit`: parts, sentences, bytes…).

    Of records that are read as the work goes on nobody knows the `total`; `share` is then how much of the input was
    read, 0 to 1, None where that is not known either.
    """

    done: int
    total: int
    unit: str = "parts"
    share: float | None = None


@dataclass(frozen=True)
class Notice:
    """Something the user should know that is not the answer; `verbose` ones are shown under -v only."""

    text: str
    verbose: bool = False


@dataclass(frozen=True)
class Timing:
    """How long a part of the work took; shown where timings are asked for."""

    part: str
    seconds: float


@dataclass(frozen=True)
class Span:
    """A piece of a document: its characters from `start` to `end`, which begin in `line` (the first is 1).

    `file` is None for standard input. `score` is an answer's probability, or how well a passage fits its question.
    """

    text: str
    start: int
    end: int
    line: int = 1
    file: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Sources:
    """What an answer to `question` rests on.

    `quote` is the sentence that bears it out, None where none does; `passages` are those that were read, empty where
    the whole text was; `answers` are the likeliest spans where the checkpoint marks them in the text, and `no_answer`
    is then the probability that the text holds none.
    """

    question: str
    quote: Span | None = None
    passages: tuple[Span, ...] = ()
    answers: tuple[Span, ...] | None = None
    no_answer: float | None = None


@dataclass(frozen=True)
class TrainingStep:
    """Where a training run is: `step` of `steps`, the mean loss since the last such event, and tokens a second.

    `metric` is what the validation set is measured by, and `best` the best value so far, None before the first.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    tokens_per_second: float
    metric: str = "loss"
    best: float | None = None


@dataclass(frozen=True)
class Validation:
    """What the validation set says of a checkpoint after `step` steps; `improved` where it is the best so far."""

    step: int
    epoch: float
    metrics: dict[str, float]
    improved: bool = False


@dataclass(frozen=True)
class Done:
    """The last event of every stream."""

    finish_reason: FinishReason
    usage: Usage = field(default_factory=Usage)


Event = Chunk | Reasoning | Label | Choice | Progress | Notice | Timing | Sources | TrainingStep | Validation | Done


@dataclass(frozen=True)
class TaskResult:
    """The fold of a task's events: what `--json` prints and what a script reads."""

    text: str = ""
    label: Label | None = None
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    sources: Sources | None = None
    choices: tuple[Choice, ...] = ()

    @staticmethod
    def fold(events: Iterable[Event]) -> TaskResult:
        """Consume a stream of events to its end."""
        text, label, sources, done = "", None, None, Done("stop")
        choices: list[Choice] = []
        for event in events:
            match event:
                case Chunk():
                    text += event.text
                case Choice():
                    text += event.shown
                    choices.append(event)
                case Label():
                    label = event
                case Sources():
                    sources = event
                case Done():
                    done = event
        return TaskResult(text, label, done.finish_reason, done.usage, sources, tuple(choices))


Prompt = Conversation | str  # A conversation goes through the chat template, a string is continued as it is.
