"""What `lmcli evaluate` does: read the examples, measure one checkpoint or two, and tell what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcli.commands._engine import EngineChoice
from lmcli.commands._labels import read_labels
from lmcli.data import set_table
from lmcli.data.examples import Columns
from lmcli.errors import LmcliError, UsageError
from lmcli.evaluation import report
from lmcli.evaluation.building import Choices, evaluator
from lmcli.evaluation.evaluation import Evaluation, Resampling, compare, evaluate
from lmcli.evaluation.inputs import Inputs, Wish, read_inputs
from lmcli.types import Notice

if TYPE_CHECKING:
    from lmcli.evaluation.evaluators import Evaluator
    from lmcli.protocols import Engine
    from lmcli.render import Renderer


@dataclass(frozen=True)
class Telling:
    """What is told beside the figures: so many answers worth a look, and a file with all of them."""

    errors: int = 0
    predictions: str | None = None


def list_sets(renderer: Renderer) -> None:
    """The sets that are known by name."""
    rows = [{"name": one.name, "task": one.task, "about": one.about, "from": one.repo_id} for one in
            set_table.SETS.values()]  # fmt: skip
    renderer.table(rows, {"name": "NAME", "task": "TASK", "about": "WHAT IT ASKS", "from": "FROM"})


def run(
    names: Sequence[str], values: Mapping[str, Any], other: str | None, engine: EngineChoice, telling: Telling,
    renderer: Renderer,
) -> None:  # fmt: skip
    """Measure by the examples of files or of a set, and compare with the checkpoint `other` where one is named."""
    with renderer.status("reading the examples …"):
        inputs = read_inputs(names, _wish(values), engine.settings, renderer.report)
    work = evaluator(inputs, _choices(values), values["limit"], values["seed"])
    resampling = Resampling(values["resamples"], values["seed"])
    first = _measured(work, inputs, engine, resampling, renderer)
    if other is None:
        _write(telling.predictions, [first])
        _show(first, inputs, telling, resampling, renderer)
        return
    second = _measured(work, inputs, replace(engine, flags={**engine.flags, "model": other}), resampling, renderer)
    _write(telling.predictions, [first, second])
    found = compare(first, second, resampling)
    if found is None:
        raise LmcliError(f"{first.checkpoint} and {second.checkpoint} cut the one text into other tokens",
                         "give several texts, so that whole texts can be compared")  # fmt: skip
    values = report.comparison_record(found, inputs.source, telling.errors, resampling)
    _tell(values, report.comparison_tables(found, telling.errors), renderer)
    renderer.report(Notice(first.marked.signature, verbose=True))


def _wish(values: Mapping[str, Any]) -> Wish:
    columns = Columns(values["text_field"], values["answer_field"], values["second_field"])
    folder = Path(values["folder"]).expanduser() if values["folder"] else None
    return Wish(values["task"], columns, values["source"], values["target"], folder)


def _choices(values: Mapping[str, Any]) -> Choices:
    if values["prompt"] is not None and "{text}" not in values["prompt"]:
        raise UsageError("--prompt has no {text} in it", 'write it so: "Question: {text}\\nAnswer:"')
    own = {name: values[name] for name in ("length", "layout", "prompt", "window", "stride", "max_tokens")}
    return Choices(labels=read_labels(values["labels"], None), **own)


def _measured(
    work: Evaluator, inputs: Inputs, engine: EngineChoice, resampling: Resampling, renderer: Renderer
) -> Evaluation:  # fmt: skip
    opened = _opened(work, inputs, engine, renderer)
    found = evaluate(work, opened, resampling, renderer.report)
    renderer.report(Notice(f"{found.checkpoint}: {found.n:,} texts in {found.seconds:.1f} s", verbose=True))
    return found


def _opened(work: Evaluator, inputs: Inputs, engine: EngineChoice, renderer: Renderer) -> Engine:
    languages = inputs.examples[0].languages
    if _of_its_own(inputs) and not engine.chosen(work.opens):
        raise UsageError(f"only a checkpoint that was trained for {inputs.source} can be measured by it",
                         "name one: lmcli evaluate -m REF")  # fmt: skip
    if work.opens == "translate" and languages:
        from lmcli.commands._translating import open_translator

        return open_translator(engine, renderer, *languages)
    if languages is None and not engine.chosen(work.opens):
        from lmcli.text.language import identify

        spoken = identify("\n".join(example.text for example in inputs.examples[:20]))
        languages = (spoken, spoken) if spoken else None
    return engine.open(work.opens, renderer, languages)


def _of_its_own(inputs: Inputs) -> bool:
    """Whether the examples ask for what no checkpoint does that was not trained to: judge pairs, or give numbers."""
    pairs = inputs.task == "classify" and any(example.second is not None for example in inputs.examples)
    return pairs or inputs.task == "score"


def _show(
    found: Evaluation, inputs: Inputs, telling: Telling, resampling: Resampling, renderer: Renderer
) -> None:  # fmt: skip
    values = report.record(found, inputs.source, telling.errors) | vars(resampling)
    _tell(values, report.tables(found, telling.errors), renderer)
    renderer.report(Notice(found.marked.signature, verbose=True))


def _tell(values: Mapping[str, Any], tables: Sequence[report.Table], renderer: Renderer) -> None:
    renderer.tables(values, [(table.rows, table.columns) for table in tables])


def _write(name: str | None, evaluations: Sequence[Evaluation]) -> None:
    """All answers, a line of JSON each."""
    if name is None:
        return
    try:
        with Path(name).expanduser().open("w", encoding="utf-8") as file:
            for found in evaluations:
                for mark in found.marked.marks:
                    line = json.dumps({"checkpoint": found.checkpoint, **mark.record()}, ensure_ascii=False)
                    # Half a character has no UTF-8.
                    file.write(line.encode(errors="backslashreplace").decode() + "\n")
    except OSError as error:
        raise LmcliError(
            f"{name} cannot be written: {error.strerror or error}", "name another: --predictions FILE"
        ) from None
