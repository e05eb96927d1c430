"""What an unfinished run keeps beside its result, so that it can go on after any kill with the same outcome."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lmcli.errors import UsageError
from lmcli.training.log import TrainingLog
from lmcli.training.plan import Plan

_FOLDER, _PLAN, _RESULT = ".training", "plan.json", "result"
# What makes up a checkpoint: of another one in its place none of it may stay.
_CHECKPOINT = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*config.json", "*.model", "*.jinja", "tokenizer*",
               "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json")  # fmt: skip
_SAME = "resume with the same command, or begin anew with --force"
_OPTIONS = {"checkpoint": "-m", "lora_rank": "--lora"}  # where a term is not named as its option
_LAST_FILE = "trainer_state.json"  # what a checkpoint gets last, so one that has it is whole


def open_run(plan: Plan, main: bool, processes: int = 1) -> tuple[Path, Path | None]:
    """The folder where the run keeps its state, and the last whole checkpoint in it to go on from.

    A run that is to be resumed and has not begun begins. Of several processes only the `main` one writes. Raises
    UsageError where the run was another one, or shared by another number of processes: a step would then be as many
    batches.
    """
    folder = plan.folder / _FOLDER
    if not main:
        return folder, _last_checkpoint(folder) if plan.resume else None
    kept = _read(folder / _PLAN)
    resume = plan.resume and kept is not None
    if resume and kept is not None:
        _check_same(plan, processes, kept)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        state = {"terms": plan.terms, "fingerprint": plan.fingerprint, "processes": processes}
        (folder / _PLAN).write_text(json.dumps(state), encoding="utf-8")
    last = _last_checkpoint(folder)
    TrainingLog(plan.folder).rewind(0 if last is None else step_of(last))
    return folder, last


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` holds a run that can be resumed."""
    return _read(folder / _FOLDER / _PLAN) is not None


def check_terms(plan: Plan) -> None:
    """Raise UsageError, which names the option, where an unfinished run in the plan's folder had other terms.

    That can be asked before the examples are read.
    """
    kept = _read(plan.folder / _FOLDER / _PLAN) or {}
    terms = plan.terms
    for name, before in kept.get("terms", {}).items():
        if terms.get(name) != before:
            option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
            absent = before is None or before is False
            begun = f"without {option}" if absent else f"with {option}{'' if before is True else f' {before}'}"
            raise UsageError(f"the run in {plan.folder} was begun {begun}", _SAME)


def outcome_in(folder: Path) -> str | None:
    """The fingerprint of the plan whose result `folder` holds; None where there is none, or a run still goes on."""
    return None if is_unfinished(folder) else TrainingLog(folder).outcome_of


def last_step(folder: Path) -> int | None:
    """The step from which a run in `folder` would go on; None where it would begin anew."""
    last = _last_checkpoint(folder / _FOLDER)
    return None if last is None else step_of(last)


def result_folder(plan: Plan) -> Path:
    """Where the finished run's checkpoint is written before it takes its place, new and empty."""
    folder = plan.folder / _FOLDER / _RESULT
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def close_run(plan: Plan) -> None:
    """The run is finished: what it wrote takes the place of the checkpoint that was there, and is all that is kept."""
    TrainingLog(plan.folder).end(plan.fingerprint)
    result = plan.folder / _FOLDER / _RESULT
    written = {file.name for file in result.iterdir()}
    for pattern in _CHECKPOINT:
        for file in plan.folder.glob(pattern):
            if file.name not in written:
                file.unlink()
    for file in result.iterdir():
        file.replace(plan.folder / file.name)
    shutil.rmtree(plan.folder / _FOLDER, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """After how many steps the trainer wrote it."""
    return int(checkpoint.name.rpartition("-")[2])


def _last_checkpoint(folder: Path) -> Path | None:
    whole = [path for path in folder.glob("checkpoint-*") if _read(path / _LAST_FILE) is not None]
    return max(whole, key=step_of, default=None)


def _check_same(plan: Plan, processes: int, kept: dict[str, Any]) -> None:
    check_terms(plan)
    if kept.get("fingerprint") != plan.fingerprint:
        raise UsageError(f"the run in {plan.folder} had other data", _SAME)
    before = kept.get("processes", 1)
    if before != processes:
        raise UsageError(
            f"the run in {plan.folder} was shared by {before} processes, this one by {processes}",
            f"resume it with {before}, or begin anew with --force",
        )


def _read(file: Path) -> dict[str, Any] | None:
    """What a JSON file holds; None where there is none or half of one."""
    try:
        value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value
