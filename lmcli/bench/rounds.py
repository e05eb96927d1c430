"""The rounds: every side measures the same thing in turn, again and again, and is compared within a round."""

from __future__ import annotations

import math
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmcli.bench.contestants import Contestant, as_request, check, enter
from lmcli.bench.plan import BATCH_PROMPT, COLD_ROUNDS, SHORT_PROMPT, UNITS, Plan, Task
from lmcli.bench.process import Worker, seconds_to_first_byte
from lmcli.bench.report import Machine, Report, Result, Spread
from lmcli.bench.work import read_work
from lmcli.checkpoints.checkpoint import read_config
from lmcli.types import Checkpoint, Event, Notice, Progress

_COMPARED_LOGITS = 1024
_ANOTHER_MODEL = 0.7  # relative error of the logits; 4 bits make some 0.2, unrelated logits 1.4
_WARM_UP_STEPS = 8


def measure(checkpoint: Checkpoint, plan: Plan, report: Callable[[Event], None]) -> Report:
    """See lmcli.bench.run."""
    names = tuple(dict.fromkeys(("lmcli", *plan.against)))
    check(checkpoint, names)
    report(Notice(f"{checkpoint.name}: {', '.join(names)}; {plan.rounds} round{'s' * (plan.rounds > 1)}"))
    with ExitStack() as stack:
        stack.enter_context(_ended_like_ctrl_c())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=plan.scratch))
        plan = replace(plan, scratch=Path(scratch))
        machine = stack.enter_context(Worker("the machine"))
        described = machine.ask("machine", what="describe", device=plan.options["device"])
        if "answer" in plan.measures:
            plan = replace(plan, question=_question(checkpoint, plan, machine, report))
        contestants = [enter(name, checkpoint, plan, described, machine, stack, report) for name in names]
        return _Bench(checkpoint, plan, machine, described, contestants, report).run()


class _Bench:
    """One checkpoint's measurement; `capacity` holds what the machine could do, a sample a round."""

    def __init__(
        self, checkpoint: Checkpoint, plan: Plan, machine: Worker, described: Mapping[str, Any],
        contestants: Sequence[Contestant], report: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self.checkpoint, self.plan, self.report = checkpoint, plan, report
        self.machine, self.described, self.contestants = machine, described, contestants
        self.vocab_size = _vocab_size(checkpoint)
        self.work = read_work(checkpoint)
        dtypes = {c.facts["prefill_dtype"] for c in contestants} - {None}
        self.capacity: dict[str, list[float]] = {name: [] for name in ("bandwidth", *sorted(dtypes))}
        self.samples: dict[tuple[Task, str], list[float]] = {}
        self.passes: dict[str, int] = {}  # of each side's last answer
        self.tasks = self._fitting()
        self.done = 0

    def run(self) -> Report:
        self._compare_logits()
        single = [task for task in self.tasks if task.measure not in ("cold", "batch")]
        for number in range(self.plan.rounds + 1):  # The first is not counted: caches are cold, clocks are low.
            self._round(number, single, warm_up=number == 0)
        for contestant in self.contestants:
            contestant.remember_memory()
        for number in range(min(self.plan.rounds, COLD_ROUNDS)):
            self._round(number, [task for task in self.tasks if task.measure == "cold"])
        batches = [task for task in self.tasks if task.measure == "batch"]
        for number in range(self.plan.rounds + 1):
            self._round(number, batches, warm_up=number == 0)
        return self._report()

    def _round(self, number: int, tasks: Sequence[Task], warm_up: bool = False) -> None:
        if not tasks:
            return
        if not warm_up and tasks[0].measure not in ("cold", "batch"):
            self._measure_machine()
        for task in tasks:
            for contestant in self._turns(number, task):
                steps = self.plan.answer_tokens if task.measure == "answer" else self.plan.tokens
                seconds = self._seconds(contestant, task, number, min(_WARM_UP_STEPS, steps) if warm_up else steps)
                if not warm_up:
                    self.samples.setdefault((task, contestant.name), []).append(self._value(task, seconds))
                    self.done += 1
                    self.report(Progress(self.done, self._total(), "measurements"))

    def _turns(self, number: int, task: Task) -> Iterator[Contestant]:
        """Who has part in `task`; each round another begins."""
        start = number % len(self.contestants)
        for contestant in (*self.contestants[start:], *self.contestants[:start]):
            if task.measure != "batch" or contestant.facts["batches"]:
                yield contestant

    def _seconds(self, contestant: Contestant, task: Task, number: int, steps: int) -> float:
        if task.measure == "cold":
            return seconds_to_first_byte(contestant.name, contestant.command)
        if task.measure == "batch":
            prompts = [self._prompt(BATCH_PROMPT, number, row) for row in range(task.size)]
            return float(contestant.worker.ask("batch", prompts=prompts, steps=steps))
        if task.measure == "answer":
            return self._answer(contestant, steps)
        prompt = self._prompt(task.size, number)
        if task.measure == "decode":
            return float(contestant.worker.ask("decode", prompt=prompt, steps=steps))
        return float(contestant.worker.ask("prefill", prompt=prompt))

    def _answer(self, contestant: Contestant, tokens: int) -> float:
        found = contestant.worker.ask("answer", prompt=self.plan.question, tokens=tokens)
        self.passes[contestant.name] = found["passes"]
        return float(found["seconds"])

    def _value(self, task: Task, seconds: float) -> float:
        tokens = {"decode": self.plan.tokens, "prefill": task.size, "batch": task.size * self.plan.tokens}
        # A difference of two noisy times may come out at nothing.
        return tokens[task.measure] / max(seconds, 1e-9) if task.measure in tokens else seconds

    def _prompt(self, size: int, number: int, row: int = 0) -> list[int]:
        """Random tokens, the same for every side and others in every round."""
        draw = random.Random(f"{size} {number} {row}")
        return [draw.randrange(self.vocab_size) for _ in range(size)]

    def _measure_machine(self) -> None:
        device = self.plan.options["device"]
        for name, samples in self.capacity.items():
            if name == "bandwidth":
                samples.append(self.machine.ask("machine", what="bandwidth", device=device))
            else:
                samples.append(self.machine.ask("machine", what="flops", device=device, dtype=name))

    def _compare_logits(self) -> None:
        """How near each peer's logits are to ours; a large difference means that it runs another model."""
        prompt = self._prompt(SHORT_PROMPT, 0)
        ids = sorted(random.Random(0).sample(range(self.vocab_size), min(self.vocab_size, _COMPARED_LOGITS)))
        ours, *theirs = (c.worker.ask("logits", prompt=prompt, ids=ids) for c in self.contestants)
        for contestant, logits in zip(self.contestants[1:], theirs, strict=True):
            contestant.logits_error = error = relative_error(logits, ours)
            if error > _ANOTHER_MODEL:
                text = f"the logits of {contestant.name} differ by {error:.0%} from lmcli's: is this the same model?"
                self.report(Notice(text))

    def _fitting(self) -> list[Task]:
        tasks = self.plan.tasks()
        room = min(contestant.facts["context_length"] for contestant in self.contestants)
        longer = [task for task in tasks if self.plan.needed(task) > room]
        for task in longer:
            text = (
                f"{task.measure} of {task.size} is left out: the context of {self.checkpoint.name} holds {room} tokens"
            )
            self.report(Notice(text))
        return [task for task in tasks if task not in longer]

    def _total(self) -> int:
        rounds = {"cold": min(self.plan.rounds, COLD_ROUNDS)}
        return sum(rounds.get(t.measure, self.plan.rounds) * len([*self._turns(0, t)]) for t in self.tasks)

    def _report(self) -> Report:
        bandwidth, *flops = (Spread.of(samples or [0.0]) for samples in self.capacity.values())
        names = [name for name in self.capacity if name != "bandwidth"]
        return Report(
            checkpoint=self.checkpoint.name,
            model_type=self.checkpoint.model_type,
            num_parameters=self.checkpoint.num_parameters,
            size_bytes=self.checkpoint.size_bytes,
            dtype=self.checkpoint.dtype,
            options=dict(self.plan.options),
            rounds=self.plan.rounds,
            tokens=self.plan.tokens,
            machine=Machine(**self.described, bandwidth=bandwidth, flops=dict(zip(names, flops, strict=True))),
            sides=tuple(contestant.report(self.work) for contestant in self.contestants),
            results=tuple(self._results()),
        )

    def _results(self) -> Iterator[Result]:
        for task in self.tasks:
            for contestant in self.contestants:
                samples = self.samples.get((task, contestant.name))
                if not samples:
                    continue
                result = Result(task.measure, task.size, UNITS[task.measure], contestant.name, tuple(samples))
                if task.measure == "answer":
                    passes = self.passes[contestant.name]
                    result = replace(result, tokens=self.plan.answer_tokens, passes=passes)
                ours = self.samples.get((task, "lmcli"))
                if ours and contestant.name != "lmcli":
                    result = replace(result, speedup=speedup(ours, samples, result.unit))
                yield self._with_rate(result, task, contestant)

    def _with_rate(self, result: Result, task: Task, contestant: Contestant) -> Result:
        """`result` with what it took of the machine, where that is known."""
        facts = contestant.facts
        if self.work is None or task.measure not in ("decode", "prefill"):
            return result
        if task.measure == "decode":
            behind = task.size + self.plan.tokens / 2
            step = self.work.decode_bytes(behind, facts["bytes_per_weight"], facts["bytes_per_cached"])
            rates, capacity = [step * value for value in result.samples], self.capacity["bandwidth"]
        else:
            token = self.work.prefill_flops(task.size) / task.size
            rates = [token * value for value in result.samples]
            capacity = self.capacity.get(facts["prefill_dtype"], [])
        shares = [rate / most for rate, most in zip(rates, capacity, strict=False)]
        return replace(result, rate=Spread.of(rates), share=Spread.of(shares) if shares else None)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """While this lasts SIGTERM is heard as Ctrl-C is: files as large as the checkpoint are to be removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets the main thread alone set this.
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def speedup(ours: Sequence[float], theirs: Sequence[float], unit: str) -> Spread:
    """How many times as fast we are, by the rounds in which both were measured."""
    pairs = zip(ours, theirs, strict=True)
    return Spread.of([b / a if unit == "s" else a / b for a, b in pairs])


def relative_error(logits: Sequence[float], reference: Sequence[float]) -> float:
    """|a - b| / |b| of two lists of logits, each less its mean: a constant changes no probability."""
    a, b = ([value - sum(values) / len(values) for value in values] for values in (logits, reference))
    size = math.hypot(*b)
    return math.dist(a, b) / size if size else math.hypot(*a)


def _question(checkpoint: Checkpoint, plan: Plan, machine: Worker, report: Callable[[Event], None]) -> tuple[int, ...]:
    """The tokens of the prompt that asks for an answer about the plan's text."""
    about = {"text": plan.text, "tokens": plan.text_tokens, "answer_tokens": plan.answer_tokens}
    code = bool(plan.options.get("trust_remote_code"))
    ids = machine.ask("question", checkpoint=as_request(checkpoint), trust_remote_code=code, **about)
    # Where text and instruction meet a token or two may be missing.
    if not plan.text_tokens - 8 <= len(ids) <= plan.text_tokens:
        report(Notice(f"with what is asked about it the text has {len(ids)} tokens, not {plan.text_tokens}"))
    return tuple(ids)


def _vocab_size(checkpoint: Checkpoint) -> int:
    config = read_config(checkpoint.path)
    inner = config.get("text_config")
    sizes = (fields.get("vocab_size") for fields in (config, inner) if isinstance(fields, dict))
    return next((int(size) for size in sizes if isinstance(size, int)), 256)
