"""The model and the tokenizer that a run begins with: a checkpoint's, or a config's with random weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, set_seed

from lmcli.engine.device import pick_device
from lmcli.engine.quantizing import readable
from lmcli.errors import CheckpointError
from lmcli.training.plan import Plan


def load_tokenizer(plan: Plan) -> Any:
    """Raises CheckpointError where there is none."""
    folder = plan.checkpoint.path if plan.checkpoint else plan.tokenizer
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Advice to developers.
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise CheckpointError(f"{folder} has no tokenizer: {first}", "train one: lmcli tokenizer train") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def load_model(plan: Plan, kind: Any, tokenizer: Any, settings: Mapping[str, Any] | None = None) -> Any:
    """A model of transformers' Auto class `kind` in float32; `settings` go over its config.

    Random weights are drawn from the recipe's seed. Raises CheckpointError for a checkpoint that is not of this kind.
    """
    set_seed(plan.recipe.seed)  # A new head is drawn too.
    settings = dict(settings or {})
    # On a CPU the backward pass of fused attention takes, in bf16, more time than all else together.
    attention = "eager" if pick_device(plan.device).type == "cpu" else None
    try:
        if plan.checkpoint is None:
            return kind.from_config(
                _config(plan, tokenizer, settings), dtype=torch.float32, attn_implementation=attention
            )
        with readable(plan.checkpoint) as plain:
            return kind.from_pretrained(
                plain.path, local_files_only=True, dtype=torch.float32, use_safetensors=True,
                ignore_mismatched_sizes=True, attn_implementation=attention, **settings,
            )  # fmt: skip
    except ValueError as error:
        raise CheckpointError(
            f"a {_model_type(plan)} cannot be trained for {plan.recipe.task}", "lmcli list --all shows what can"
        ) from error


def _config(plan: Plan, tokenizer: Any, settings: Mapping[str, Any]) -> Any:
    """The config file's, told of its tokenizer."""
    if plan.config is None:
        raise CheckpointError("neither a checkpoint nor a config is named", "name one: -m CHECKPOINT, or --config FILE")
    config = AutoConfig.from_pretrained(plan.config, local_files_only=True)
    told = {
        "vocab_size": len(tokenizer), "decoder_vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id, "forced_eos_token_id": None,
    }  # fmt: skip
    for name, value in (told | dict(settings)).items():
        if hasattr(config, name) or name in settings:
            setattr(config, name, value)
    return config


def _model_type(plan: Plan) -> str:
    return plan.checkpoint.model_type if plan.checkpoint else "model of this config"
