"""The loss: cross entropy, the mean over all labels of a step, however many batches the step has."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

IGNORED = -100  # the label of a position that no loss is computed for, as PyTorch has it


class Loss:
    """The cross entropies (nats) of the labels, their sum over the count of the step's labels.

    With `smoothing` S the right label is to get the probability 1 - S and all labels S in equal parts (Szegedy et al.
    2016, arXiv:1512.00567). `weights` (labels) multiply the loss of each label.
    """

    def __init__(self, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self._weights, self._smoothing = weights, smoothing

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        count = (labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        # A step may have no label at all: of a block of one token nothing comes next.
        count = max(count, 1) if isinstance(count, int) else count.clamp(min=1)
        return cross_entropies(outputs.logits, labels, self._weights, self._smoothing).sum() / count


def cross_entropies(logits: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """For each label its cross entropy (nats, float32), 0 where it is ignored.

    On a CPU bf16 logits stay so: over a vocabulary of 8,000 the loss and its gradient take a quarter of the time.
    """
    if logits.device.type != "cpu":
        logits = logits.float()
    weights = None if weights is None else weights.to(logits)
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), weights, ignore_index=IGNORED, reduction="none",
        label_smoothing=smoothing,
    ).float()  # fmt: skip
