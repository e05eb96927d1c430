"""Objectives: for each task what the model is, what it sees of an example, and what says that it became better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor

from lmcli.data.examples import Example
from lmcli.task_names import TrainingTask
from lmcli.training.plan import Plan


@dataclass(frozen=True)
class Sample:
    """An example as tokens; `labels` are those of the answer, or of the positions, or one class."""

    inputs: Sequence[int]
    labels: Sequence[int]
    more: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return max(len(self.inputs), len(self.labels))


class Objective(Protocol):
    """One task for one model; `metric` says which checkpoint is the best, and `higher` whether more of it is."""

    model: Any
    tokenizer: Any
    metric: str
    higher: bool
    weights: Tensor | None  # of the classes
    lora_task: str  # as peft names it

    def samples(self, examples: Sequence[Example]) -> list[Sample]:
        """The examples as tokens, in order; long ones in several or cut, as the task allows."""

    def collate(self, samples: Sequence[Sample], step: int) -> dict[str, Tensor]:
        """The model's inputs for a batch, padded, and `labels`. The same for the same `step`."""

    def predict(self, logits: Tensor) -> Tensor | None:
        """What `measure` wants of each example's logits; None where the loss is all."""

    def measure(self, examples: Sequence[Example], predictions: Sequence[Any], loss: float) -> dict[str, float]:
        """Figures of the validation set beside its loss (nats a label)."""


_FILES: dict[TrainingTask, str] = {
    "classify": "classify", "translate": "rewrite", "summarize": "rewrite", "chat": "chat", "generate": "continue_text",
    "masked": "masked",
}  # fmt: skip


def build(plan: Plan) -> Objective:
    """The objective of a plan, with its model. Raises CheckpointError for a checkpoint of another kind."""
    module = import_module(f"lmcli.training.objectives.{_FILES[plan.recipe.task]}")
    make: Callable[[Plan], Objective] = module.build
    return make(plan)
