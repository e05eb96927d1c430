"""The plan of a training run: what is trained, on which examples, by which recipe, and where it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    def fingerprint(self) -> str:
        """The same for two plans that give the same checkpoint on one machine."""
        digest = hashlib.sha256(repr((self.recipe, self.dtype)).encode())
        source = self.checkpoint.path / "model.safetensors" if self.checkpoint else self.config
        digest.update(f"{source} {self.tokenizer}".encode())
        for example in (*self.train, None, *self.validation):
            digest.update(repr(example and _content(example)).encode())
        return digest.hexdigest()[:16]


def _content(example: Example) -> tuple[object, ...]:
    second = () if example.second is None else (example.second,)
    return (example.text, example.answer, example.messages, *second)
