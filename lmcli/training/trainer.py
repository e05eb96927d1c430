"""The trainer: transformers' own, with our schedule of batches, our loss and validation, and our events.

transformers and accelerate keep the optimizer, the gradients, precision, several processes, and what is saved to go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from lmcli.data.examples import Example
from lmcli.errors import LmcliError
from lmcli.render.live_run import STEPS, VALIDATION
from lmcli.training.loss import IGNORED, Loss, cross_entropies
from lmcli.training.objectives import Objective, Sample
from lmcli.training.precision import Precision
from lmcli.training.recipe import Recipe
from lmcli.training.schedule import in_order, schedule
from lmcli.types import Event, Progress, TrainingStep, Validation

_REPORTS = 200  # of the loss in a run, at least
_BEST = "eval_best_step"  # the step of a validation where it is the best so far, else 0: what the trainer goes by
_SECONDS = "seconds"  # between one checkpoint and the next, or from where a sitting began, in the trainer's history
_VALIDATION_TOKENS = 8192  # in a batch that is only measured


class Batches(Dataset[dict[str, Tensor]]):
    """The batches of a schedule; the item of a dataset is a whole batch, made when its step comes."""

    def __init__(self, objective: Objective, samples: Sequence[Sample], batches: Sequence[list[int]]) -> None:
        self._objective, self._samples, self._batches = objective, samples, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        return self._objective.collate([self._samples[i] for i in self._batches[step]], step)


@dataclass(frozen=True)
class Validating:
    """The validation set as tokens, and whose they are."""

    examples: Sequence[Example]
    samples: Sequence[Sample]


class ScheduledTrainer(Trainer):
    """transformers' Trainer over a schedule: what it takes for one epoch is the whole run."""

    def __init__(
        self, objective: Objective, recipe: Recipe, train: Sequence[Sample], validating: Validating, model: nn.Module,
        folder: Path, precision: Precision, report: Callable[[Event], None], processes: int = 1,
    ) -> None:  # fmt: skip
        batches = schedule(
            [sample.length for sample in train], recipe.epochs, recipe.seed, recipe.batch_size, recipe.batch_tokens
        )
        steps = math.ceil(len(batches) / recipe.accumulation / processes)
        steps = min(steps, recipe.max_steps) if recipe.max_steps else steps
        super().__init__(
            model,
            _arguments(recipe, objective, folder, precision, steps, bool(validating.samples)),
            data_collator=_only,
            train_dataset=Batches(objective, train, batches),
            eval_dataset=Batches(objective, validating.samples, []),
            compute_loss_func=Loss(objective.weights, recipe.label_smoothing),
        )
        self._reporting = _Reporting(report, objective, train, batches, recipe, processes)
        self.add_callback(self._reporting)
        self.remove_callback(PrinterCallback)
        if recipe.patience and validating.samples:
            self.add_callback(EarlyStoppingCallback(recipe.patience))
        self._objective, self._recipe, self._validating = objective, recipe, validating
        self.precision, self._report = precision, report

    def restore(self, checkpoint: Path) -> None:
        """The model that a run kept, whose last step `checkpoint` is; trained on, it would take a step too many."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if self.state.best_model_checkpoint:
            self._load_best_model()
        else:
            self._load_from_checkpoint(str(checkpoint))

    @property
    def seconds(self) -> float:
        """What the run has taken, in all its sittings."""
        return self._reporting.seconds(self.state)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def compute_loss_context_manager(self) -> Any:
        """Autocast as accelerate has it, but for logits, which it would copy to float32."""
        return torch.autocast(self.precision.device.type, torch.bfloat16, enabled=self.precision.half)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The loss of the validation set and the objective's own figures, computed by all processes together."""
        begun = time.perf_counter()
        samples, mine = self._validating.samples, slice(self.accelerator.process_index, None, self._processes)
        batches = in_order([sample.length for sample in samples], self._recipe.batch_size, _VALIDATION_TOKENS)[mine]
        loader = DataLoader(Batches(self._objective, samples, batches), batch_size=None)
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64)
        found: dict[int, Any] = {}
        with torch.inference_mode():
            for done, (indices, batch) in enumerate(zip(batches, loader, strict=True)):
                self._report(Progress(done, len(batches), VALIDATION))
                loss, predictions = self._measure(batch)
                total += loss
                if predictions is not None:
                    found |= dict(zip(indices, predictions.tolist(), strict=True))
        self._reporting.measuring_seconds += time.perf_counter() - begun
        return self._figures(self._gathered(total), self._joined(found))

    @property
    def _processes(self) -> int:
        return self.accelerator.num_processes

    def _measure(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        batch = {name: tensor.to(self.args.device) for name, tensor in batch.items()}
        labels = batch.pop("labels")
        with self.compute_loss_context_manager():
            logits = self.model(**batch).logits  # Wrapped, it would wait for processes that have fewer batches.
            loss = cross_entropies(logits, labels).sum()
        counted = torch.stack([loss, (labels != IGNORED).sum()]).cpu().double()  # No GPU of Apple's has float64.
        return counted, self._objective.predict(logits)

    def _gathered(self, total: Tensor) -> Tensor:
        if self._processes == 1:
            return total
        reduced: Tensor = self.accelerator.reduce(total.float().to(self.args.device)).cpu()
        return reduced

    def _joined(self, found: dict[int, Any]) -> list[Any]:
        if self._processes > 1:
            everyone: list[Any] = [None] * self._processes
            torch.distributed.all_gather_object(everyone, found)
            found = {i: value for part in everyone for i, value in part.items()}
        return [found[i] for i in sorted(found)]

    def _figures(self, total: Tensor, predictions: list[Any]) -> dict[str, float]:
        loss = (total[0] / total[1].clamp(min=1)).item()
        _check_finite(loss, self.state.global_step)
        figures = {"loss": loss} | self._objective.measure(self._validating.examples, predictions, loss)
        named = {f"eval_{name}": value for name, value in figures.items()}
        named[_BEST] = self.state.global_step if self._is_best(named) else 0
        self.log(dict(named))
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, named)
        return named

    def _is_best(self, figures: dict[str, float]) -> bool:
        """Whether no validation before had these figures or better ones; of equal ones the lower loss is better."""
        return all(self._rank(figures) > self._rank(entry) for entry in self.state.log_history if "eval_loss" in entry)

    def _rank(self, figures: dict[str, float]) -> tuple[float, float]:
        value = figures[f"eval_{self._objective.metric}"]
        return value if self._objective.higher else -value, -figures["eval_loss"]


class _Reporting(TrainerCallback):
    """Turns what the trainer logs into events, in the main process."""

    def __init__(
        self, report: Callable[[Event], None], objective: Objective, train: Sequence[Sample],
        batches: Sequence[list[int]], recipe: Recipe, processes: int,
    ) -> None:  # fmt: skip
        self._report, self._metric = report, objective.metric
        self._tokens = [sum(train[i].length for i in batch) for batch in batches]
        self._batches_a_step = recipe.accumulation * processes
        self._epochs = recipe.epochs
        self._last: tuple[int, float] | None = None
        self.measuring_seconds = 0.0  # since the last report: none of the training's
        self._begun = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._begun = time.perf_counter()
        self._last = (state.global_step, self._begun)

    def seconds(self, state: Any) -> float:
        """What the run has taken so far, in all its sittings up to what each kept."""
        kept = [float(entry[_SECONDS]) for entry in state.log_history if _SECONDS in entry]
        return sum(kept) + time.perf_counter() - self._begun

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if control.should_save:
            now = time.perf_counter()
            state.log_history.append({_SECONDS: now - self._begun, "step": state.global_step})
            self._begun = now
        if state.is_world_process_zero:
            self._report(Progress(state.global_step, state.max_steps, STEPS))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            _check_finite(logs["loss"], state.global_step)
        if not state.is_world_process_zero or "loss" not in logs or self._last is None:
            return
        (before, then), now = self._last, time.perf_counter()
        seconds, self.measuring_seconds = now - then - self.measuring_seconds, 0.0
        done, of_step = state.global_step, self._batches_a_step
        tokens = sum(self._tokens[before * of_step : done * of_step])
        self._last = (done, now)
        self._report(
            TrainingStep(
                done, state.max_steps, self._epoch(state), logs["loss"], logs["learning_rate"],
                tokens / seconds, self._metric, self._best(state),
            )
        )  # fmt: skip

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        figures = {name.removeprefix("eval_"): value for name, value in metrics.items()}
        improved = figures.pop(_BEST.removeprefix("eval_")) == state.global_step
        self._report(Validation(state.global_step, self._epoch(state), figures, improved))

    def _best(self, state: Any) -> float | None:
        """The metric of the best checkpoint so far."""
        found: list[float] = [entry[f"eval_{self._metric}"] for entry in state.log_history if entry.get(_BEST)]
        return found[-1] if found else None

    def _epoch(self, state: Any) -> float:
        done = state.global_step * self._batches_a_step
        return float(self._epochs * min(done / max(len(self._tokens), 1), 1.0))


def _arguments(
    recipe: Recipe, objective: Objective, folder: Path, precision: Precision, steps: int, validates: bool
) -> TrainingArguments:
    every = recipe.evaluate_every or max(math.ceil(steps / recipe.epochs), 1)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,  # An item of the dataset is a batch.
        num_train_epochs=1,
        max_steps=steps,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        gradient_accumulation_steps=recipe.accumulation,
        use_cpu=precision.device.type == "cpu",
        seed=recipe.seed,
        logging_steps=max(steps // _REPORTS, 1),
        logging_nan_inf_filter=False,  # It would tell of a loss that is none as of one that is.
        eval_strategy="steps" if validates else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=1,
        load_best_model_at_end=validates,
        metric_for_best_model=_BEST if validates else None,
        greater_is_better=True if validates else None,
        remove_unused_columns=False,
        dataloader_pin_memory=precision.device.type == "cuda",
        ddp_find_unused_parameters=False,
        log_level_replica="error",  # What the first process is not told the others are not, either.
        report_to=[],
        disable_tqdm=True,
    )
    if arguments.device.type == "cuda":
        # A process has one GPU. With several the trainer would draw as many items, each a batch of ours, at a time.
        arguments._n_gpu = 1
    return arguments


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise LmcliError(
            f"at step {step} the loss is no number any more: the steps are too large",
            "begin anew with --force and a third of the --learning-rate, or a longer --warmup",
        )


def _only(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return items[0]
