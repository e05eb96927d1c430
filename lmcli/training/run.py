"""A run: the examples become tokens, the trainer trains, and the best checkpoint is written as any other."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers.utils import logging

from lmcli.errors import InputError
from lmcli.training import objectives
from lmcli.training.failures import failures
from lmcli.training.objectives import Objective
from lmcli.training.plan import Plan
from lmcli.training.precision import precision, stored
from lmcli.training.trainer import ScheduledTrainer, Validating
from lmcli.training.unfinished import close_run, open_run, result_folder, step_of
from lmcli.types import Event, Notice

# Several processes (torchrun, accelerate launch) say so in their environment.
_PROCESSES, _RANK = "WORLD_SIZE", "RANK"


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the step of the checkpoint that was kept, all steps and what they took in all sittings, how
    many parameters were trained, and where and in which precision the products were computed."""

    step: int
    steps: int
    seconds: float
    trained_parameters: int
    parameters: int
    device: str
    dtype: str


class Run:
    """A plan that is ready to be run; of several processes only the main one tells of it and writes."""

    def __init__(self, plan: Plan, report: Callable[[Event], None]) -> None:
        """Load the model and make the examples tokens. Raises UsageError, CheckpointError, OutOfMemory."""
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self._main = os.environ.get(_RANK, "0") == "0"
        processes = int(os.environ.get(_PROCESSES, "1"))
        self._report = report if self._main else lambda event: None
        self._plan = plan
        with failures(plan), _without_advice():
            folder, self._last = open_run(plan, self._main, processes)
            self._objective = objectives.build(plan)
            self._trainer = _trainer(plan, self._objective, folder, self._report, processes)

    def train(self) -> Outcome | None:
        """Train, write the best checkpoint to the plan's folder, and return what came out, in the main process.

        A run that is interrupted is resumed by the same plan.
        """
        if self._last is not None:
            self._report(Notice(f"going on from step {self._last.name.rpartition('-')[2]}"))
        with failures(self._plan), _without_advice():
            if self._last is not None and step_of(self._last) >= self._trainer.args.max_steps:
                self._trainer.restore(self._last)  # It was stopped between its last step and the end.
            else:
                self._trainer.train(resume_from_checkpoint=None if self._last is None else str(self._last))
            outcome = _outcome(self._trainer)
        if not self._main:
            return None
        with failures(self._plan):
            _write(self._trainer.model, self._objective, stored(self._plan), result_folder(self._plan))
            close_run(self._plan)
        return outcome


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without what libraries warn their developers of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _trainer(
    plan: Plan, objective: Objective, folder: Path, report: Callable[[Event], None], processes: int
) -> ScheduledTrainer:
    model = objective.model
    if plan.recipe.lora_rank:
        model = _with_lora(model, objective, plan.recipe.lora_rank)
    train = objective.samples(plan.train)
    if not train:
        raise InputError("what is to be learned lies behind the longest that is read", "take a larger --max-length")
    validating = Validating(plan.validation, objective.samples(plan.validation) if plan.validation else [])
    return ScheduledTrainer(
        objective, plan.recipe, train, validating, model, folder, precision(plan), report, processes
    )


def _with_lora(model: Any, objective: Objective, rank: int) -> Any:
    """Low-rank additions to every linear layer but the head, which is trained whole where it is new."""
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear", task_type=objective.lora_task,
        trainable_token_indices=_new_tokens(model, objective),
    )  # fmt: skip
    model = get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:  # A new head is as large as the rest: small steps would be lost in bf16.
            parameter.data = parameter.data.float()
    return model


def _new_tokens(model: Any, objective: Objective) -> dict[str, list[int]] | None:
    """The rows of tokens that mean nothing yet, by the embedding that has them: they are trained whole."""
    new = list(getattr(objective, "new_tokens", ()))
    ends = [model.get_input_embeddings()]
    if not model.config.tie_word_embeddings:
        ends.append(model.get_output_embeddings())
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(end)]: new for end in ends} if new else None


def _outcome(trainer: ScheduledTrainer) -> Outcome:
    state, parameters, precision = trainer.state, list(trainer.model.parameters()), trainer.precision
    return Outcome(
        state.best_global_step or state.global_step,
        state.global_step,
        trainer.seconds,
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        sum(parameter.numel() for parameter in parameters),
        str(precision.device),
        "bfloat16" if precision.half else "float32",
    )


def _write(model: Any, objective: Objective, dtype: torch.dtype, folder: Path) -> None:
    """An ordinary checkpoint: config, safetensors, tokenizer."""
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.to(dtype).save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # Written through a temporary file, they would be for their owner alone.
    objective.tokenizer.save_pretrained(folder)
