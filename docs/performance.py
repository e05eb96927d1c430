"""Writes what follows from measurements: the tables in docs/performance.md and a plot for each file of
docs/performance/*.json, which `lmcli bench --json` wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill

from lmcli.bench.report import COLUMNS, Report, Result, SideReport, Spread, rows, title
from lmcli.render.chart import Chart, Curve
from lmcli.render.svg import COLORS, WIDTH, Frame, draw_chart, picture
from lmcli.render.svg import text as _text

DOCS = Path(__file__).parent
PAGE = DOCS / "performance.md"
MEASURED = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- end -->)", re.DOTALL)
LABELS, VALUES = 170, 130  # pixels of the sides' names and of the numbers
BAR, GAP, HEADING, CURVES = 16, 4, 34, 190


def generated() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    reports = {
        file: Report.read(json.loads(file.read_text(encoding="utf-8")))
        for file in sorted((DOCS / "performance").glob("*.json"))
    }
    sections = "\n".join(section(file.stem, report) for file, report in reports.items())
    page = MEASURED.sub(lambda _: f"\n{sections}\n", PAGE.read_text(encoding="utf-8"))
    return {PAGE: page} | {file.with_suffix(".svg"): plot(report) for file, report in reports.items()}


def section(name: str, report: Report) -> str:
    """The checkpoint, the machine, the command, the plot and the table."""
    return "\n".join([
        f"### {report.checkpoint}", "",
        f"{report.num_parameters / 1e6:.0f} million parameters in {report.dtype}, {report.size_bytes / 1e6:.0f} MB.",
        "", fill(machine(report), 120, break_on_hyphens=False), "",
        "```sh", command(report), "```", "",
        f"![Every number of the table below as a bar]({'performance/' + name}.svg)", "",
        *table(report), "",
        *(f"- **{side.name}** {side.version}: {side.precision}{_error(side)}" for side in report.sides), "",
    ])  # fmt: skip


def machine(report: Report) -> str:
    """The machine in a sentence or two."""
    known = report.machine
    speeds = [f"reads memory at {_spread(known.bandwidth, 1e9)} GB/s"]
    speeds += [f"multiplies {dtype} at {_spread(most, 1e9)} GFLOPS" for dtype, most in known.flops.items()]
    return (
        f"The machine: {known.cpu}, {known.cores} cores, {known.memory_bytes / 2**30:.0f} GiB, {known.device}; with "
        f"{known.threads} threads it {' and '.join(speeds)}. {known.system}, Python {known.python}, torch "
        f"{known.torch}."
    )


def command(report: Report) -> str:
    """The command line that measured it."""
    against = [f"--against {side.name}" for side in report.sides[1:]]
    options = [f"--{name} {value}" for name, value in report.options.items() if value not in (None, False, "auto")]
    counts = [f"--rounds {report.rounds}", f"--tokens {report.tokens}"]
    lengths = [_lengths(report, "decode", "--contexts"), _lengths(report, "prefill", "--prompt-lengths")]
    lengths += [_lengths(report, "answer", "--text-tokens"), *_answer_tokens(report)]
    return " ".join(["lmcli bench", report.checkpoint, *against, *counts, *filter(None, lengths), *options])


def table(report: Report) -> Iterator[str]:
    """The bench's own table in Markdown; what is measured is named once."""
    headings = {"what": "", "side": "side", "median": "median", "spread": "lowest to highest", "speedup": "lmcli is",
                "machine": "of the machine"}  # fmt: skip
    yield f"| {' | '.join(headings[name] for name in COLUMNS)} |".replace("|  |", "| |")
    yield "|---" * len(COLUMNS) + "|"
    before = ""
    for row in rows(report):
        cells = {**row, "what": "" if row["what"] == before else row["what"]}
        before = row["what"]
        yield f"| {' | '.join(cells[name] for name in COLUMNS)} |".replace("|  |", "| |").replace("  ", " ")


def plot(report: Report) -> str:
    """Bars with their spread, a panel for each thing measured, and the batches as curves."""
    sides = [side.name for side in report.sides]
    single = [result for result in report.results if result.measure != "batch"]
    batches = [result for result in report.results if result.measure == "batch"]
    parts, y = [], 8
    for _, group in groupby(single, key=lambda result: (result.measure, result.size)):
        found = list(group)
        parts.append(_bars(y, title(found[0]), found, sides))
        y += HEADING + len(found) * (BAR + GAP)
    if batches:
        parts.append(_curves(y, batches, sides))
        y += HEADING + CURVES
    return picture(report.checkpoint, parts, y + 8)


def _bars(y: int, heading: str, results: Sequence[Result], sides: Sequence[str]) -> str:
    unit = results[0].unit
    better = "less is better" if unit == "s" else "more is better"
    most = max(result.spread.high for result in results) or 1.0
    scale = (WIDTH - LABELS - VALUES) / most
    lines = [_text(12, y + 20, f"{heading}, {unit} ({better})", "font-weight='bold'")]
    for row, result in enumerate(results):
        top = y + HEADING - 4 + row * (BAR + GAP)
        spread, color = result.spread, COLORS[sides.index(result.side) % len(COLORS)]
        low, high, middle = LABELS + spread.low * scale, LABELS + spread.high * scale, top + BAR / 2
        lines += [
            _text(LABELS - 8, top + 12, result.side, "text-anchor='end'"),
            f"<rect x='{LABELS}' y='{top}' width='{spread.median * scale:.1f}' height='{BAR}' fill='{color}'/>",
            f"<path d='M{low:.1f} {middle}H{high:.1f}M{low:.1f} {top + 4}v8M{high:.1f} {top + 4}v8' "
            "stroke='#111827' fill='none'/>",
            _text(high + 8, top + 12, f"{spread.median:.{2 if unit == 's' else 1}f}"),
        ]
    return "\n".join(lines) + "\n"


def _curves(y: int, results: Sequence[Result], sides: Sequence[str]) -> str:
    """A curve a side over the sizes of its batches, which lie equally far apart."""
    sizes = sorted({result.size for result in results})
    curves = []
    for side in dict.fromkeys(result.side for result in results):
        points = [(float(sizes.index(result.size)), result.spread.median) for result in results if result.side == side]
        curves.append(Curve(side, tuple(points), "dots", sides.index(side)))
    heading = "decode of several conversations at once, tokens/s (more is better)"
    labels = {float(i): str(size) for i, size in enumerate(sizes)}
    frame = Frame(LABELS, VALUES, HEADING + CURVES, HEADING)
    return draw_chart(Chart(heading, "", tuple(curves), from_zero=True, x_labels=labels), y, frame)


def _spread(spread: Spread, unit: float) -> str:
    return f"{spread.median / unit:.3g} ({spread.low / unit:.3g} to {spread.high / unit:.3g})"


def _lengths(report: Report, measure: str, option: str) -> str:
    sizes = dict.fromkeys(result.size for result in report.results if result.measure == measure)
    return f"{option} {','.join(map(str, sizes))}" if sizes else ""


def _answer_tokens(report: Report) -> list[str]:
    return sorted({f"--answer-tokens {result.tokens}" for result in report.results if result.tokens})


def _error(side: SideReport) -> str:
    return "" if side.logits_error is None else f"; its logits differ from lmcli's by {side.logits_error:.2%}"


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(DOCS.parent))
