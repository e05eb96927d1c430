"""What `lmcli finetune` and `lmcli pretrain` do: a plan from the options, its examples, the run, and its card."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcli import checkpoints, training
from lmcli.commands._engine import EngineChoice
from lmcli.commands._training_card import finish
from lmcli.commands._training_data import read_data
from lmcli.errors import InputError, UsageError
from lmcli.render import Output, pick
from lmcli.training.log import TrainingLog
from lmcli.training.plan import Plan
from lmcli.training.recipe import Recipe
from lmcli.training.unfinished import check_terms, is_unfinished, last_step, outcome_in
from lmcli.types import Checkpoint, Event, Notice, TrainingStep, Validation

if TYPE_CHECKING:
    from lmcli.data.checks import Checked
    from lmcli.environment import Environment
    from lmcli.render import Renderer

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
    if environment.variables.get("RANK", "0") == "0":
        _check_place(folder, values["resume"], values["force"])
    else:  # Of several processes only the first one speaks and writes.
        silent = replace(environment, stdout=io.StringIO(), stderr=io.StringIO())
        renderer = pick(silent, Output(quiet=True))
    recipe = _recipe(values)
    plan = Plan(
        recipe, (), (), folder, checkpoint, config, tokenizer, values["resume"], settings.device, settings.dtype
    )
    if values["resume"] and not values["force"]:
        check_terms(plan)
    checked = read_data(values, plan, renderer)
    if values["check"]:
        renderer.tables(_findings(checked), [])
        return
    plan = replace(plan, train=checked.train, validation=checked.validation)
    if not values["force"] and (done := outcome_in(folder)):
        if done != plan.fingerprint:
            raise _taken(folder)
        renderer.report(Notice(f"{name} is in {folder}, finished"))
        return
    with renderer.status("loading …"):
        run = training.prepare(plan, _logged(plan, renderer))
    try:
        outcome = run.train()
    except KeyboardInterrupt:
        kept = last_step(folder)
        since = f"step {kept}" if kept else "the beginning"
        renderer.report(Notice(f"stopped; the same command with --resume goes on from {since}"))
        raise
    if outcome is not None:
        finish(plan, outcome, name, checked, values, renderer)


def _findings(checked: Checked) -> dict[str, Any]:
    """The documented fields of --check."""
    found = [
        {"kind": one.kind, "message": one.message, "hint": one.hint, "left_out": one.dropped,
         "places": [vars(place) for place in one.places]}
        for one in checked.findings
    ]  # fmt: skip
    return {"train": len(checked.train), "validation": len(checked.validation), "findings": found}


def _flags(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("device", "dtype", "offline")}


def _check_place(folder: Path, resume: bool, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "choose another name: -o NAME")
    if force or not folder.exists():
        return
    if is_unfinished(folder):
        if not resume:
            raise UsageError(
                f"{folder} holds a run that was stopped", "go on with --resume, or begin anew with --force"
            )
    elif any(folder.iterdir()) and not (resume and outcome_in(folder)):
        raise _taken(folder)


def _taken(folder: Path) -> UsageError:
    return UsageError(f"{folder} exists already", "replace it with --force, or choose another name: -o NAME")


def _recipe(values: Mapping[str, Any]) -> Recipe:
    given = {field.name: values[field.name] for field in fields(Recipe)}
    if given["learning_rate"] is None:
        given["learning_rate"] = _RATES[bool(given["lora_rank"]) or None]
    return Recipe(**given)


def _logged(plan: Plan, renderer: Renderer) -> Any:
    """Reports events to the user and to the run's log."""
    log = TrainingLog(plan.folder)

    def report(event: Event) -> None:
        if isinstance(event, TrainingStep | Validation):
            log.append(event)
        renderer.report(event)

    return report
