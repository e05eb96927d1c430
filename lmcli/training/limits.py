"""Limits: how long a text a run takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import AutoConfig

from lmcli.training.models import load_tokenizer
from lmcli.training.plan import Plan
from lmcli.training.recipe import Recipe

_USUAL = {"classify": 512, "translate": 512, "summarize": 1024, "chat": 2048, "generate": 512, "masked": 128}
_UNBOUNDED = 1 << 20  # tokens; tokenizers that know of no limit name one beyond


def longest(recipe: Recipe, config: Any, tokenizer: Any) -> int:
    """The most tokens of an example that are read: those asked for or usual, and no more than the model has places."""
    own = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    return min(recipe.max_length or _USUAL[recipe.task], *(n for n in own if n and 0 < n < _UNBOUNDED), _UNBOUNDED)


def reading(plan: Plan) -> tuple[Callable[[str], int], int]:
    """How the tokens of a text are counted, and the most that are read. Raises CheckpointError without a tokenizer."""
    tokenizer = load_tokenizer(plan)
    folder = plan.checkpoint.path if plan.checkpoint else plan.config
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    return lambda text: len(tokenizer(text, verbose=False)["input_ids"]), longest(plan.recipe, config, tokenizer)
