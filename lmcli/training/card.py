"""What the model card of a trained checkpoint tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lmcli.training.recipe import Recipe
from lmcli.types import Checkpoint, Validation

PICTURE = "losses.svg"  # which the card shows


@dataclass(frozen=True)
class CardData:
    """Examples that a run was given.

    `name` is a file or a named set, whose id on the hub is `dataset`. `examples` are those that were used, `removed`
    how many the checks took out before, by reason (`empty`, `duplicate`…).
    """

    name: str
    split: Literal["train", "validation"]
    examples: int
    removed: Mapping[str, int] = field(default_factory=dict)
    dataset: str | None = None


@dataclass(frozen=True)
class Card:
    """All that a card tells.

    `base` is the checkpoint that the run began with, None where it began with random weights. `validation` is that of
    the checkpoint which was kept, chosen by `metric`. `license` is the user's choice for the result, None leaves the
    base checkpoint's; `data_license` and `attribution` are what the user says of the data, in any words. `limits` are
    sentences for the card's list of what the checkpoint does badly. `seconds` are those of all sittings.
    """

    name: str
    recipe: Recipe
    data: tuple[CardData, ...] = ()
    base: Checkpoint | None = None
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    num_parameters: int | None = None
    validation: Validation | None = None
    metric: str = "loss"
    steps: int | None = None
    seconds: float | None = None
    device: str = "cpu"
    dtype: str = "float32"
    license: str | None = None
    data_license: str | None = None
    attribution: str | None = None
    limits: tuple[str, ...] = ()
    command: str = ""
