"""The recipe of a training run: all that decides, with the data and the checkpoint, what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from lmcli.task_names import TrainingTask


@dataclass(frozen=True)
class Recipe:
    """The choices of a run.

    The learning rate rises over the `warmup` share of all steps and falls along a cosine to 0. A step's batch is
    `batch_size` examples, or as many of like length as hold `batch_tokens` tokens of padded input and answer,
    `accumulation` times. `epochs` may be a fraction; `max_steps` goes before it. With `lora_rank` only low-rank
    additions to the linear layers are trained (LoRA, Hu et al. 2021, arXiv:2106.09685) and merged at the end.
    `patience` ends a run whose validation has not become better that many times. Every `evaluate_every` steps, else
    after each epoch, the validation set is measured, and the best checkpoint is kept. A seed gives the same losses
    each time on one machine.
    """

    task: TrainingTask
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 32
    batch_tokens: int | None = None
    accumulation: int = 1
    learning_rate: float = 5e-5
    warmup: float = 0.06
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    label_smoothing: float = 0.0
    class_weights: bool = False
    max_length: int | None = None
    lora_rank: int | None = None
    patience: int | None = None
    evaluate_every: int | None = None
    seed: int = 0
