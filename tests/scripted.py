"""A scripted engine and an in-process run of the real program, for tests of behaviour without a
checkpoint."""

from __future__ import annotations

import io
import json
import re
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from lmcli.cli import run
from lmcli.environment import Environment
from lmcli.errors import InputTooLong
from lmcli.explanations import Candidate, Choice, Weight
from lmcli.protocols import Stretch, Target
from lmcli.types import Checkpoint, Chunk, Conversation, Done, Event, Prompt, SamplingParams, Usage

Answer = str | Callable[[str], str]


def checkpoint(kind: str = "causal", name: str = "scripted", instruct: bool = True) -> Checkpoint:
    return Checkpoint(name, Path("/nowhere"), None, "llama", kind, "float32", 1000, 4000, "apache-2.0", instruct)  # type: ignore[arg-type]


def plain(prompt: Prompt) -> str:
    """The prompt as a script sees it: the messages' contents, a line each."""
    return "\n".join(m.content for m in prompt.messages) if isinstance(prompt, Conversation) else prompt


@dataclass
class ScriptedEngine:
    """Answers with what the script says, a word a chunk; a token is a word or a CJK character.

    `answers` is cycled through; a callable is given the prompt's text. Every prompt is kept in `prompts`,
    every `params` in `params`.
    """

    answers: Sequence[Answer] = ("ok",)
    context_length: int = 2048
    checkpoint: Checkpoint = field(default_factory=checkpoint)
    likelihoods: Callable[[str, str], float] = lambda prompt, continuation: -float(len(continuation))
    probabilities: Callable[[str], dict[str, float]] = lambda text: {"POSITIVE": 0.75, "NEGATIVE": 0.25}
    target_languages: tuple[str, ...] = ()
    prompts: list[str] = field(default_factory=list)
    params: list[SamplingParams] = field(default_factory=list)
    batches: list[list[str]] = field(default_factory=list)

    def prepare(self) -> None:
        pass

    def count(self, prompt: Prompt) -> int:
        return len(re.findall(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+", plain(prompt)))

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        count = self.count(prompt)
        if count >= self.context_length:
            raise InputTooLong(f"the text has {count} tokens, the context holds {self.context_length}")
        answer = self._answer(plain(prompt))
        self.params.append(params)
        pieces = re.findall(r"\s*\S+|\s+$", answer)
        for piece in pieces:
            yield Chunk(piece)
        yield Done("stop", Usage(count, 0, len(pieces), 0.1, 0.1))

    def stream_many(self, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> Iterator[tuple[int, Event]]:
        """An event of each in turn, of three prompts at a time: a short answer ends before a long one begun earlier."""
        waiting = enumerate(map(self.stream, prompts, params))
        rows = list(islice(waiting, 3))
        while rows:
            for row in list(rows):
                index, events = row
                event = next(events)
                yield index, event
                if isinstance(event, Done):
                    rows.remove(row)
                    rows.extend(islice(waiting, 1))

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[float]:
        self.prompts.append(plain(prompt))
        return [self.likelihoods(plain(prompt), continuation) for continuation in continuations]

    def score_many(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        if any(self.count(prompt) >= self.context_length for prompt in prompts):
            raise InputTooLong("a text does not fit the context")
        return [self.score(prompt, continuations) for prompt in prompts]

    def score_text(self, text: str, window: int, stride: int) -> Iterator[Stretch]:
        """A stretch a word, its likelihood that of the word behind nothing; the first word is not scored."""
        for number, word in enumerate(re.findall(r"\S+\s*", text)):
            yield Stretch(1, self.likelihoods("", word), word) if number else Stretch(0, 0.0, word)

    def explain(self, prompt: Prompt, params: SamplingParams, rivals: int, given: str | None = None) -> Iterator[Event]:
        """A token a word, each half as probable as the one before it, with rivals that are never the same."""
        answer = self._answer(plain(prompt)) if given is None else given
        self.params.append(params)
        pieces = re.findall(r"\s*\S+|\s+$", answer)
        for i, piece in enumerate(pieces):
            others = tuple(Candidate(100 + n, f"{piece}{n}", 2.0 ** -(i + 3 + n)) for n in range(rivals))
            yield Choice(i, piece, piece, 2.0**-i, float(i), i + 1, 1.5, others)
        yield Done("stop", Usage(self.count(prompt), 0, len(pieces), 0.1, 0.1))

    def attribute(self, text: str, target: Target) -> list[Weight]:
        """Every character that is no space weighs as much as it has places before it."""
        return [Weight(c, i, i + 1, i / 10) for i, c in enumerate(text) if not c.isspace()]

    def languages(self) -> tuple[str, ...]:
        return self.target_languages

    def rewrite(
        self,
        texts: Sequence[str],
        params: SamplingParams,
        source: str | None = None,
        target: str | None = None,
    ) -> Iterator[Event]:
        self.batches.append(list(texts))
        for text in texts:
            yield Chunk(self._answer(text))
        yield Done("stop", Usage(sum(map(self.count, texts)), 0, len(texts), 0.1, 0.1))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.probabilities(""))

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        self.batches.append(list(texts))
        return [self.probabilities(text) for text in texts]

    def logits(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[dict[str, float]]:
        self.batches.append(list(texts))
        pairs = texts if seconds is None else [" => ".join(pair) for pair in zip(texts, seconds, strict=True)]
        return [self.probabilities(text) for text in pairs]

    def _answer(self, prompt: str) -> str:
        answer = self.answers[len(self.prompts) % len(self.answers)]
        self.prompts.append(prompt)
        return answer(prompt) if callable(answer) else answer


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str


def folder_checkpoint(path: Path, kind: str = "causal", instruct: bool = True) -> Path:
    """Write the smallest folder that reads as a checkpoint: a config and one tensor, 16 float32
    parameters."""
    path.mkdir(parents=True, exist_ok=True)
    architectures = {
        "causal": "LlamaForCausalLM",
        "seq2seq": "MarianMTModel",
        "classifier": "BertForSequenceClassification",
        "qa": "BertForQuestionAnswering",
    }
    types = {"causal": "llama", "seq2seq": "marian", "classifier": "bert", "qa": "bert"}
    config = {
        "architectures": [architectures[kind]],
        "model_type": types[kind],
        "max_position_embeddings": 2048,
    }
    (path / "config.json").write_text(json.dumps(config))
    tokenizer = {"chat_template": "{{ messages }}"} if instruct else {}
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    header = json.dumps({"w": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    return path


def invoke(
    *arguments: str,
    engine: object | None = None,
    stdin: bytes = b"",
    variables: dict[str, str] | None = None,
    terminal: bool = False,
) -> Result:
    """Run the real program in this process with these streams, loading `engine` whatever is asked for.

    The program's folders and the hub's cache lie in a fresh temporary folder, so nothing of this machine is
    seen or changed. With `engine` given, `LMCLI_MODEL` names a folder checkpoint of its name and kind, so
    nothing is ever downloaded. `variables` override both.
    """
    stdout, stderr = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    with tempfile.TemporaryDirectory(prefix="lmcli-test-") as folder:
        known = sandbox(Path(folder), engine) | (variables or {})
        environment = Environment(io.BytesIO(stdin), stdout, stderr, known, lambda *_args, **_options: engine)
        code = run(list(arguments), environment)
    return Result(code, stdout.getvalue(), stderr.getvalue())


def sandbox(folder: Path, engine: object | None = None) -> dict[str, str]:
    """Variables that keep lmcli inside `folder`, with a checkpoint for `engine` to stand behind."""
    places = {
        "LMCLI_CACHE": "cache", "LMCLI_DATA": "data", "LMCLI_STATE": "state", "LMCLI_CONFIG": "config.toml",
        "HF_HUB_CACHE": "hub",
        "LMCLI_STARTERS": "starters",
    }  # fmt: skip
    variables = {name: str(folder / place) for name, place in places.items()}
    if engine is None:
        return variables
    known = getattr(engine, "checkpoint", None) or checkpoint()
    path = folder_checkpoint(folder / known.name.replace("/", "--"), known.kind, known.instruct)
    return variables | {"LMCLI_MODEL": str(path)}
