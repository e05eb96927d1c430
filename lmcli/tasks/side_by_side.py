"""Side by side: a task that works on one text, run on several at once, so that what they ask of the engine meanwhile is
asked together.

Each text's run is a thread, but they hand on a baton: only one of them, or the one who collects what they ask, ever
runs. So a task needs no locks, and the engine computes in the caller's own thread, where Ctrl-C is heard.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lmcli.errors import OF_ONE_TEXT
from lmcli.protocols import Engine
from lmcli.types import Chunk, Done, Event, FinishReason, Prompt, SamplingParams, Usage

MOST = 32  # texts at once: as many as an engine decodes side by side
_TEXTS = 128  # to rewrite in one call, or those of a single run: only so many does an engine sort by length
Run = Callable[[Any, str], Iterator[Event]]


def side_by_side(run: Run, engine: Engine | None, texts: Iterable[str]) -> Iterator[Iterator[Event]]:
    """The events of `run(engine, text)` for each text, in order, each as soon as those before it are done.

    At most 32 texts are taken ahead. What one text raises its own events raise; an error that is of no text, such as
    a full memory, ends them all.
    """
    if engine is None:
        yield from (run(engine, text) for text in texts)
        return
    waiting, runs = iter(texts), deque[_Run]()
    try:
        while True:
            for text in islice(waiting, MOST - len(runs)):
                runs.append(_Run(run, engine, text))
            if not runs:
                return
            for _ in _answers(engine, [each for each in runs if each.asked]):
                while runs and runs[0].finished:
                    yield runs.popleft().events()
    finally:
        for each in runs:
            each.cancel()


@dataclass(frozen=True)
class _Rewrite:
    texts: tuple[str, ...]
    key: tuple[SamplingParams, str | None, str | None]  # only what is asked alike can be asked together


@dataclass(frozen=True)
class _Stream:
    prompts: tuple[Prompt, ...]
    params: tuple[SamplingParams, ...]


@dataclass(frozen=True)
class _Call:
    work: Callable[[], Any]


class _Cancelled(BaseException):
    """Ends a run of which nobody wants the rest."""


class _Run:
    """One text's run, at rest unless it holds the baton; `asked` is what it waits for."""

    def __init__(self, run: Run, engine: Engine, text: str) -> None:
        self.asked: _Rewrite | _Stream | _Call | None = None
        self.finished = False
        self._events: list[Event] = []
        self._error: BaseException | None = None
        self._answer: Any = None
        self._go, self._rest = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, args=(run, _Asking(engine, self), text), daemon=True)
        self._thread.start()
        self._go.release()
        self._rest.acquire()

    def answer(self, answer: Any) -> None:
        """Give what was asked for, or the error of it, and wait until the run rests again."""
        self.asked, self._answer = None, answer
        self._go.release()
        self._rest.acquire()

    def cancel(self) -> None:
        if not self.finished:
            self.answer(_Cancelled())

    def events(self) -> Iterator[Event]:
        yield from self._events
        if self._error:
            raise self._error

    def ask(self, request: _Rewrite | _Stream | _Call) -> Any:
        """In the run's own thread: hand the baton on and wait for the answer."""
        self.asked = request
        self._rest.release()
        self._go.acquire()
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer

    def _work(self, run: Run, engine: _Asking, text: str) -> None:
        self._go.acquire()
        try:
            self._events.extend(run(engine, text))
        except _Cancelled:
            pass
        except BaseException as error:
            self._error = error
        self.finished = True
        self._rest.release()


class _Asking:
    """The engine as a run sees it: what takes the model is asked for, all else is the engine's own."""

    def __init__(self, engine: Any, run: _Run) -> None:
        self._engine, self._run = engine, run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Event]:
        return (event for _, event in self.stream_many([prompt], [params]))

    def stream_many(self, prompts: Sequence[Prompt], params: Sequence[SamplingParams]) -> Iterator[tuple[int, Event]]:
        return iter(self._run.ask(_Stream(tuple(prompts), tuple(params))))

    def rewrite(
        self, texts: Sequence[str], params: SamplingParams, source: str | None = None, target: str | None = None
    ) -> Iterator[Event]:
        return iter(self._run.ask(_Rewrite(tuple(texts), (params, source, target))))

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[float]:
        scores: list[float] = self._run.ask(_Call(lambda: self._engine.score(prompt, continuations)))
        return scores

    def score_many(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[list[float]]:
        scores: list[list[float]] = self._run.ask(_Call(lambda: self._engine.score_many(prompts, continuations)))
        return scores

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        found: list[dict[str, float]] = self._run.ask(_Call(lambda: self._engine.classify(texts)))
        return found


def _answers(engine: Any, asking: Sequence[_Run]) -> Iterator[None]:
    """Answer every run that asks; a pause after each, in which those that are done may be taken."""
    alike: dict[Any, list[_Run]] = defaultdict(list)
    for run in asking:
        alike[run.asked.key if isinstance(run.asked, _Rewrite) else type(run.asked)].append(run)
    yield  # Some runs ask for nothing.
    for runs in (group for found in alike.values() for group in _groups(found)):
        try:
            yield from _together(engine, runs)
        except OF_ONE_TEXT as error:
            # One of them is to blame. Alone, each has an answer or its own error.
            left = [run for run in runs if run.asked]
            for run in left:
                try:
                    yield from _together(engine, [run]) if len(runs) > 1 else _refuse(run, error)
                except OF_ONE_TEXT as own:
                    yield from _refuse(run, own)


def _groups(runs: Sequence[_Run]) -> Iterator[list[_Run]]:
    """Runs that ask alike, with few enough texts to rewrite that the first are not kept waiting for the last."""
    group: list[_Run] = []
    texts = 0
    for run in runs:
        own = len(run.asked.texts) if isinstance(run.asked, _Rewrite) else 0
        if group and texts + own > _TEXTS:
            yield group
            group, texts = [], 0
        group.append(run)
        texts += own
    if group:
        yield group


def _refuse(run: _Run, error: BaseException) -> Iterator[None]:
    run.answer(error)
    yield


def _together(engine: Any, runs: Sequence[_Run]) -> Iterator[None]:
    """Answer runs that ask alike with one call of the engine."""
    asked = [run.asked for run in runs]
    if isinstance(asked[0], _Rewrite):
        texts = [text for each in asked if isinstance(each, _Rewrite) for text in each.texts]
        params, source, target = asked[0].key
        events = list(engine.rewrite(texts, params, source, target))
        answers = _divided(events, [len(each.texts) for each in asked if isinstance(each, _Rewrite)])
        for run, answer in zip(runs, answers, strict=True):
            run.answer(answer)
            yield
    elif isinstance(asked[0], _Stream):
        yield from _streamed(engine, runs, [each for each in asked if isinstance(each, _Stream)])
    else:
        for run in runs:
            if isinstance(run.asked, _Call):
                run.answer(run.asked.work())
                yield


def _streamed(engine: Any, runs: Sequence[_Run], asked: Sequence[_Stream]) -> Iterator[None]:
    """Each run has its answer as soon as all of its own prompts are done."""
    owners = [(run, own) for run, each in zip(runs, asked, strict=True) for own in range(len(each.prompts))]
    collected: dict[_Run, list[tuple[int, Event]]] = {run: [] for run in runs}
    left = {run: len(each.prompts) for run, each in zip(runs, asked, strict=True)}
    for run in runs:
        if not left[run]:
            run.answer([])
            yield
    prompts = [prompt for each in asked for prompt in each.prompts]
    for index, event in engine.stream_many(prompts, [params for each in asked for params in each.params]):
        run, own = owners[index]
        collected[run].append((own, event))
        left[run] -= isinstance(event, Done)
        if not left[run] and isinstance(event, Done):
            run.answer(collected.pop(run))
            yield


def _divided(events: Sequence[Event], counts: Sequence[int]) -> Iterator[list[Event]]:
    """One rewriting's events as those of several, of so many texts each; its usage by their number."""
    chunks = [event for event in events if isinstance(event, Chunk)]
    end = next(event for event in reversed(events) if isinstance(event, Done))
    told = any(chunk.cut for chunk in chunks)
    first = 0
    for count in counts:
        own = chunks[first : first + count]
        first += count
        cut = any(chunk.cut for chunk in own) if told else end.finish_reason == "length"
        reason: FinishReason = "length" if cut else "stop"
        yield [*own, Done(reason, _share(end.usage, count / max(len(chunks), 1)))]


def _share(usage: Usage, share: float) -> Usage:
    return Usage(
        round(usage.prompt_tokens * share), round(usage.cached_tokens * share), round(usage.completion_tokens * share),
        usage.ttft_seconds, usage.decode_seconds * share,
    )  # fmt: skip
