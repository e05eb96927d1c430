"""What `lmcli finetune` and `lmcli pretrain` do: read and check the examples, train, and write the card and plots."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcli import checkpoints, training
from lmcli.commands._engine import EngineChoice
from lmcli.data import checks
from lmcli.data.examples import Columns, Example
from lmcli.data.reading import read
from lmcli.data.splitting import split
from lmcli.errors import InputError, UsageError
from lmcli.training.card import Card, CardData, write_card
from lmcli.training.curves import draw_losses
from lmcli.training.log import TrainingLog, validations
from lmcli.training.plan import Plan
from lmcli.training.recipe import Recipe
from lmcli.training.unfinished import is_unfinished
from lmcli.types import Checkpoint, Event, Notice, TrainingStep, Validation

if TYPE_CHECKING:
    from lmcli.data.checks import Checked
    from lmcli.environment import Environment
    from lmcli.render import Renderer
    from lmcli.training.run import Outcome

_RATES = {None: 5e-5, True: 2e-4}  # of all weights, of LoRA's


def fetch(environment: Environment, ref: str, values: Mapping[str, Any], renderer: Renderer) -> Checkpoint:
    """The checkpoint to begin with."""
    return EngineChoice(environment, _flags(values) | {"model": ref}).checkpoint("finetune", renderer)


def existing(name: str) -> Path:
    """Raises InputError where nothing is."""
    path = Path(name).expanduser()
    if not path.exists():
        raise InputError(f"{name} does not exist")
    return path


def train(
    environment: Environment, renderer: Renderer, values: Mapping[str, Any], checkpoint: Checkpoint | None = None,
    config: Path | None = None, tokenizer: Path | None = None,
) -> None:  # fmt: skip
    """Run the plan that the options describe and tell what came of it."""
    settings = EngineChoice(environment, _flags(values)).settings
    name, folder = checkpoints.place(values["output"], settings)
    _check_place(folder, values["resume"], values["force"])
    recipe = _recipe(values)
    plan = Plan(
        recipe, (), (), folder, checkpoint, config, tokenizer, values["resume"], settings.device, settings.dtype
    )
    checked = _data(values, plan, renderer)
    if values["check"]:
        return
    plan = replace(plan, train=checked.train, validation=checked.validation)
    begun = time.monotonic()
    outcome = training.train(plan, _logged(plan, renderer))
    if outcome is not None:
        _finish(plan, outcome, name, checked, values, time.monotonic() - begun, renderer)


def _flags(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("device", "dtype", "offline")}


def _check_place(folder: Path, resume: bool, force: bool) -> None:
    if force or not folder.exists() or os.environ.get("RANK", "0") != "0":
        return
    if is_unfinished(folder):
        if not resume:
            raise UsageError(
                f"{folder} holds a run that was stopped", "go on with --resume, or begin anew with --force"
            )
    elif any(folder.iterdir()):
        raise UsageError(f"{folder} exists already", "replace it with --force, or choose another name: -o NAME")


def _recipe(values: Mapping[str, Any]) -> Recipe:
    given = {field.name: values[field.name] for field in fields(Recipe)}
    if given["learning_rate"] is None:
        given["learning_rate"] = _RATES[bool(given["lora_rank"]) or None]
    return Recipe(**given)


def _data(values: Mapping[str, Any], plan: Plan, renderer: Renderer) -> Checked:
    """The examples, checked; what was found is told. Raises InputError where they cannot be trained on."""
    recipe = plan.recipe
    with renderer.status("reading the examples …"):
        train, broken = _read(values["files"], values)
        if values["validation"]:
            validation, more = _read(values["validation"], values)
            broken += more
        else:
            train, validation = split(train, values["validation_share"], recipe.seed)
        checked = checks.check(train, validation, recipe.task, broken, *training.reading(plan))
    for finding in checked.findings:
        if finding.severity == "warning":
            renderer.report(Notice(finding.message if not finding.hint else f"{finding.message}; {finding.hint}"))
    checks.raise_errors(checked.findings)
    repeated = _repeated(checked.train, values["repeat"])
    counts = f"{len(repeated):,} examples to train on, {len(checked.validation):,} to validate by"
    labels = Counter(example.answer for example in repeated) if recipe.task == "classify" else {}
    shares = ", ".join(f"{label} {count / len(repeated):.0%}" for label, count in sorted(labels.items()))
    renderer.report(Notice(f"{counts}: {shares}" if shares else counts))
    return type(checked)(tuple(repeated), checked.validation, checked.findings)


def _read(files: Sequence[str], values: Mapping[str, Any]) -> tuple[list[Example], list[Any]]:
    columns = Columns(values["text_field"], values["answer_field"], values["second_field"])
    languages = (values["source"], values["target"]) if values["source"] and values["target"] else None
    reading = read(files, values["task"], columns, languages, values["both_ways"])
    return reading.examples, list(reading.broken)


def _repeated(examples: Sequence[Example], repeats: Mapping[str, int]) -> list[Example]:
    unknown = set(repeats) - {example.place.file for example in examples}
    if unknown:
        raise UsageError(f"--repeat names {min(unknown)}, which is none of the files", "name it as the file is named")
    return [example for example in examples for _ in range(repeats.get(example.place.file, 1))]


def _logged(plan: Plan, renderer: Renderer) -> Any:
    """Reports events to the user and to the run's log."""
    log = TrainingLog(plan.folder)

    def report(event: Event) -> None:
        if isinstance(event, TrainingStep | Validation):
            log.append(event)
        renderer.report(event)

    return report


def _finish(
    plan: Plan, outcome: Outcome, name: str, checked: Checked, values: Mapping[str, Any], seconds: float,
    renderer: Renderer,
) -> None:  # fmt: skip
    draw_losses(plan.folder, name, renderer)
    told = validations(TrainingLog(plan.folder).events())
    kept = next((event for event in reversed(told) if event.improved), None)
    removed = Counter({finding.kind: len(finding.places) for finding in checked.findings if finding.dropped})
    write_card(
        plan.folder,
        Card(
            name, plan.recipe, _card_data(values, checked, removed), plan.checkpoint,
            labels=tuple(sorted({example.answer for example in checked.train})) if values["task"] == "classify" else (),
            num_parameters=outcome.parameters, validation=kept, metric="macro_f1" if values["task"] == "classify"
            else "loss", steps=outcome.steps, seconds=seconds, license=values["license"],
            data_license=values["data_license"], attribution=values["attribution"],
            command=shlex.join(["lmcli", *sys.argv[1:]]),
        ),
    )  # fmt: skip
    renderer.report(Notice(f"{name} is in {plan.folder}"))
    renderer.fields({"name": name, "path": str(plan.folder), "step": outcome.step, **(kept.metrics if kept else {})})


def _card_data(values: Mapping[str, Any], checked: Checked, removed: Mapping[str, int]) -> tuple[CardData, ...]:
    train = ", ".join(Path(file).name for file in values["files"])
    validation = ", ".join(Path(file).name for file in values["validation"]) or train
    return (
        CardData(train, "train", len(checked.train), removed),
        CardData(validation, "validation", len(checked.validation)),
    )
