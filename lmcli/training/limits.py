"""Limits: how long a text a run takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmcli.training.models import load_config, load_tokenizer
from lmcli.training.plan import Plan
from lmcli.training.recipe import Recipe

_USUAL = {"classify": 512, "translate": 512, "summarize": 1024, "chat": 2048, "generate": 512, "masked": 128}
# They count positions from behind the padding token's number on, and so take fewer tokens than their table has rows.
_OFFSET = {
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "ibert",
    "longformer", "mpnet", "xmod",
}  # fmt: skip
_UNBOUNDED = 1 << 20  # tokens; tokenizers that know of no limit name one beyond


def longest(recipe: Recipe, config: Any, tokenizer: Any) -> int:
    """The most tokens of an example that are read: those asked for or usual, and no more than the model has places."""
    own = [_positions(config), tokenizer.model_max_length]
    return min(recipe.max_length or _USUAL[recipe.task], *(n for n in own if n and 0 < n < _UNBOUNDED), _UNBOUNDED)


def reading(plan: Plan) -> tuple[Callable[[str], int], int]:
    """How the tokens of a text are counted, and the most that are read. Raises CheckpointError without a tokenizer."""
    tokenizer = load_tokenizer(plan)
    most = longest(plan.recipe, load_config(plan), tokenizer)
    return lambda text: len(tokenizer(text, verbose=False)["input_ids"]), most


def _positions(config: Any) -> int | None:
    places: int | None = getattr(config, "max_position_embeddings", None)
    return places - config.pad_token_id - 1 if places and config.model_type in _OFFSET else places
