"""What a training run leaves beside its checkpoint, its card and the plot of its losses, and what the user is told."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcli.training.card import Card, CardData
from lmcli.training.card_writing import write_card
from lmcli.training.curves import draw_losses
from lmcli.training.log import TrainingLog, validations
from lmcli.training.plan import Plan
from lmcli.types import Notice

if TYPE_CHECKING:
    from lmcli.data.checks import Checked
    from lmcli.render import Renderer
    from lmcli.training.run import Outcome


def finish(
    plan: Plan, outcome: Outcome, name: str, checked: Checked, values: Mapping[str, Any], renderer: Renderer
) -> None:  # fmt: skip
    """Write the card and the plot, and tell where the checkpoint is and how good."""
    draw_losses(plan.folder, name, renderer)
    told = validations(TrainingLog(plan.folder).events())
    kept = next((event for event in reversed(told) if event.improved), None)
    labels = {example.answer for example in checked.train} if plan.recipe.task == "classify" else set()
    languages = {code for example in checked.train for code in example.languages or ()}
    removed = Counter({finding.kind: len(finding.places) for finding in checked.findings if finding.dropped})
    write_card(
        plan.folder,
        Card(
            name, plan.recipe, _card_data(values, checked, removed), plan.checkpoint,
            tuple(sorted(labels)), tuple(sorted(languages)), outcome.parameters, kept,
            metric="macro_f1" if labels else "loss", steps=outcome.steps, seconds=outcome.seconds,
            device=outcome.device, dtype=outcome.dtype, license=values["license"], data_license=values["data_license"],
            attribution=values["attribution"],
            command=shlex.join(["lmcli", *(part for part in sys.argv[1:] if part != "--resume")]),
        ),
    )  # fmt: skip
    renderer.report(Notice(f"{name} is in {plan.folder}"))
    figures = {metric: round(value, 6) for metric, value in kept.metrics.items()} if kept else {}
    renderer.fields({"name": name, "path": str(plan.folder), "step": outcome.step, **figures})


def _card_data(values: Mapping[str, Any], checked: Checked, removed: Mapping[str, int]) -> tuple[CardData, ...]:
    train = ", ".join(Path(file).name for file in values["files"])
    validation = ", ".join(Path(file).name for file in values["validation"]) or train
    return (
        CardData(train, "train", len(checked.train), removed),
        CardData(validation, "validation", len(checked.validation)),
    )
