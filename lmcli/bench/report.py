"""What was measured, as frozen values: samples of every round, their median and spread, and ratios within rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median of some samples, the lowest and the highest."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(samples: Sequence[float]) -> Spread:
        return Spread(median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Result:
    """One number of one side.

    `samples` has one a round, in `unit`. `speedup` is how many times as fast lmcli is, round by round; None for lmcli
    itself. `rate` is what the side achieves of the machine (bytes/s in decode, FLOP/s in prefill) and `share` its part
    of what the machine can do in the same round; None where they are not known. `tokens` are those of an answer and
    `passes` how often the model ran for them behind the prompt; None for all else.
    """

    measure: str
    size: int
    unit: str
    side: str
    samples: tuple[float, ...]
    speedup: Spread | None = None
    rate: Spread | None = None
    share: Spread | None = None
    tokens: int | None = None
    passes: int | None = None

    @property
    def spread(self) -> Spread:
        return Spread.of(self.samples)


@dataclass(frozen=True)
class SideReport:
    """One side: its version and precision, what it needs and how near its logits are to lmcli's.

    `peak_bytes` is all memory it ever held, mapped weights among it, `peak_anonymous_bytes` that which cannot be paged
    out to a file it came from, both for one conversation (before the batches). `logits_error` is the relative
    difference of its logits from lmcli's behind one prompt, 0 where they are the same and about 1.4 where they have
    nothing in common.
    """

    name: str
    version: str
    precision: str
    load_seconds: float
    weight_bytes: int | None
    peak_bytes: int | None = None
    peak_anonymous_bytes: int | None = None
    peak_device_bytes: int | None = None
    logits_error: float | None = None


@dataclass(frozen=True)
class Machine:
    """The machine, and what it could do while the sides were measured: bytes/s read, FLOP/s by dtype."""

    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    system: str
    python: str
    torch: str
    device: str
    bandwidth: Spread
    flops: Mapping[str, Spread]


@dataclass(frozen=True)
class Report:
    """One checkpoint, measured."""

    checkpoint: str
    model_type: str
    num_parameters: int
    size_bytes: int
    dtype: str
    options: Mapping[str, Any]
    rounds: int
    tokens: int
    machine: Machine
    sides: tuple[SideReport, ...]
    results: tuple[Result, ...]

    def record(self) -> dict[str, Any]:
        """The documented fields of `--json`."""
        results = [asdict(result) | asdict(result.spread) for result in self.results]
        return {"task": "bench"} | asdict(self) | {"results": results}

    @staticmethod
    def read(record: Mapping[str, Any]) -> Report:
        """The report that `record` was made of."""
        machine = dict(record["machine"])
        machine["bandwidth"] = Spread(**machine["bandwidth"])
        machine["flops"] = {dtype: Spread(**spread) for dtype, spread in machine["flops"].items()}
        fields = {name: record[name] for name in Report.__dataclass_fields__}
        fields["machine"] = Machine(**machine)
        fields["sides"] = tuple(SideReport(**side) for side in record["sides"])
        fields["results"] = tuple(_read_result(result) for result in record["results"])
        return Report(**fields)


def _read_result(record: Mapping[str, Any]) -> Result:
    # A file may be older than some field.
    fields = {name: record[name] for name in Result.__dataclass_fields__ if name in record}
    fields["samples"] = tuple(record["samples"])
    spreads = {name: Spread(**fields[name]) for name in ("speedup", "rate", "share") if fields[name]}
    return Result(**fields | spreads)


COLUMNS = {
    "what": "MEASURED", "side": "SIDE", "median": "MEDIAN", "spread": "SPREAD", "speedup": "LMCLI IS",
    "machine": "OF THE MACHINE",
}  # fmt: skip


def rows(report: Report) -> list[dict[str, str]]:
    """The report as people read it, a row a number."""
    found = [_row(result) for result in report.results]
    for side in report.sides:
        if side.peak_bytes:
            own = side.peak_anonymous_bytes
            anonymous = f"{own / 1e6:.0f} MB of its own" if own else ""
            found.append(_cells("peak memory", side.name, f"{side.peak_bytes / 1e6:.0f} MB", anonymous))
    return found


def title(result: Result) -> str:
    """What is measured, in words."""
    size = result.size
    return {
        "decode": f"decode behind {size} tokens", "prefill": f"prefill of {size} tokens",
        "ttft": f"first token after {size}, warm", "answer": f"{result.tokens} tokens about {size}",
        "cold": "first token, cold start", "batch": f"decode, batch of {size}",
    }[result.measure]  # fmt: skip


def _row(result: Result) -> dict[str, str]:
    spread, speedup = result.spread, result.speedup
    digits = 2 if result.unit == "s" else 1
    return _cells(
        title(result),
        result.side,
        f"{spread.median:.{digits}f} {result.unit}",
        f"{spread.low:.{digits}f}–{spread.high:.{digits}f}",
        f"{speedup.median:.2f}× as fast ({speedup.low:.2f}–{speedup.high:.2f})" if speedup else "",
        _machine(result),
    )


def _machine(result: Result) -> str:
    if result.passes is not None:
        return f"in {result.passes} passes"
    if result.rate is None or result.share is None:
        return ""
    unit = "GB/s" if result.measure == "decode" else "GFLOPS"
    return f"{result.rate.median / 1e9:.3g} {unit}, {result.share.median:.0%}"


def _cells(*cells: str) -> dict[str, str]:
    return dict(zip(COLUMNS, (*cells, *[""] * (len(COLUMNS) - len(cells))), strict=True))
