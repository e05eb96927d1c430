"""What an unfinished run keeps beside its result, so that it can go on after any kill with the same outcome."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from lmcli.errors import UsageError
from lmcli.training.log import TrainingLog
from lmcli.training.plan import Plan

_FOLDER, _PLAN = ".training", "plan.json"
_LAST_FILE = "trainer_state.json"  # what a checkpoint gets last, so one that has it is whole


def open_run(plan: Plan, main: bool) -> tuple[Path, Path | None]:
    """The folder where the run keeps its state, and the last whole checkpoint in it to go on from.

    A run that is to be resumed and has not begun begins. Of several processes only the `main` one writes. Raises
    UsageError where the run was another one.
    """
    folder = plan.folder / _FOLDER
    if not main:
        return folder, _last_checkpoint(folder) if plan.resume else None
    kept = _read(folder / _PLAN)
    resume = plan.resume and kept is not None
    if resume and kept != plan.fingerprint:
        raise UsageError(
            f"the run in {plan.folder} had other data, another checkpoint or another recipe",
            "resume with the same command, or begin anew with --force",
        )
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / _PLAN).write_text(json.dumps({"fingerprint": plan.fingerprint}), encoding="utf-8")
    last = _last_checkpoint(folder)
    TrainingLog(plan.folder).rewind(0 if last is None else step_of(last))
    return folder, last


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` holds a run that can be resumed."""
    return _read(folder / _FOLDER / _PLAN) is not None


def last_step(folder: Path) -> int | None:
    """The step from which a run in `folder` would go on; None where it would begin anew."""
    last = _last_checkpoint(folder / _FOLDER)
    return None if last is None else step_of(last)


def close_run(plan: Plan) -> None:
    """The run is finished: its checkpoint is all that is kept."""
    shutil.rmtree(plan.folder / _FOLDER, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """After how many steps the trainer wrote it."""
    return int(checkpoint.name.rpartition("-")[2])


def _last_checkpoint(folder: Path) -> Path | None:
    whole = [path for path in folder.glob("checkpoint-*") if _read(path / _LAST_FILE) is not None]
    return max(whole, key=step_of, default=None)


def _read(file: Path) -> object:
    """What a JSON file holds (a plan's fingerprint); None where there is none or half of one."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value.get("fingerprint", value)
