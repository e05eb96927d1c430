"""Limits: how long a text a run takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lmcli.errors import UsageError
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


@dataclass(frozen=True)
class Reading:
    """How the tokens of a text are counted, the most of an example that are read, and the most that could be."""

    count: Callable[[str], int]
    longest: int
    possible: int


def longest(recipe: Recipe, config: Any, tokenizer: Any) -> int:
    """The most tokens of an example that are read: those asked for or usual, and no more than the model has places."""
    return min(recipe.max_length or _USUAL[recipe.task], _possible(config, tokenizer))


def reading(plan: Plan) -> Reading:
    """Raises CheckpointError without a tokenizer, UsageError where more is asked for than the model has places."""
    tokenizer, config = load_tokenizer(plan), load_config(plan)
    possible = _possible(config, tokenizer)
    if plan.recipe.max_length and plan.recipe.max_length > possible:
        name = plan.checkpoint.name if plan.checkpoint else "the config"
        raise UsageError(f"{name} has places for {possible:,} tokens, not for {plan.recipe.max_length:,}",
                         f"--max-length {possible}, or a checkpoint that reads more")  # fmt: skip
    most = longest(plan.recipe, config, tokenizer)
    return Reading(lambda text: len(tokenizer(text, verbose=False)["input_ids"]), most, possible)


def _possible(config: Any, tokenizer: Any) -> int:
    own = [_positions(config), tokenizer.model_max_length]
    return min([_UNBOUNDED, *(n for n in own if n and 0 < n < _UNBOUNDED)])


def _positions(config: Any) -> int | None:
    places: int | None = getattr(config, "max_position_embeddings", None)
    return places - config.pad_token_id - 1 if places and config.model_type in _OFFSET else places
