"""The plan of a training run: what is trained, on which examples, by which recipe, and where it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmcli.data.examples import Example
from lmcli.training.recipe import Recipe
from lmcli.types import Checkpoint


@dataclass(frozen=True)
class Plan:
    """All that a run needs.

    It begins with the weights of `checkpoint`, or with random ones for the `config` file and a tokenizer's folder. The
    trained checkpoint is written to `folder`; what a resumed run needs is there meanwhile.
    """

    recipe: Recipe
    train: Sequence[Example]
    validation: Sequence[Example]
    folder: Path
    checkpoint: Checkpoint | None = None
    config: Path | None = None
    tokenizer: Path | None = None
    resume: bool = False
    device: str = "auto"
    dtype: str = "auto"

    @property
    def terms(self) -> dict[str, Any]:
        """What decides, with the examples, what comes of it: the recipe's fields, and what it begins with."""
        found = asdict(self.recipe) | {"dtype": self.dtype}
        found["checkpoint"] = str(self.checkpoint.path) if self.checkpoint else None
        found["config"], found["tokenizer"] = self.config and str(self.config), self.tokenizer and str(self.tokenizer)
        return found

    @property
    def fingerprint(self) -> str:
        """The same for two plans that give the same checkpoint on one machine."""
        digest = hashlib.sha256(repr(self.terms).encode())
        for example in (*self.train, None, *self.validation):
            digest.update(repr(example and _content(example)).encode())
        return digest.hexdigest()[:16]


def _content(example: Example) -> tuple[object, ...]:
    second = () if example.second is None else (example.second,)
    return (example.text, example.answer, example.messages, *second)
