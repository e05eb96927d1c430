"""The model and the tokenizer that a run begins with: a checkpoint's, or a config's with random weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, set_seed
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from lmcli.engine.device import pick_device
from lmcli.engine.restoring import readable
from lmcli.errors import CheckpointError
from lmcli.training.plan import Plan
from lmcli.training.precision import held

_WAY_OUT = "train one: lmcli tokenizer train"
# Their positions count what is no padding: begun with padding, an answer would be counted from 0 as it is learned, and
# from 1 as it is written token by token.
_BEGIN_WITH_END = ("m2m_100", "nllb-moe", "fsmt")


def load_config(plan: Plan) -> Any:
    """The checkpoint's, or that of the plan's file. Raises CheckpointError where it is none."""
    file = plan.checkpoint.path if plan.checkpoint else plan.config
    if file is None:
        raise CheckpointError("neither a checkpoint nor a config is named", "name one: -m CHECKPOINT, or --config FILE")
    try:
        return AutoConfig.from_pretrained(file, local_files_only=True)
    except Exception as error:  # A wrong type is of no common kind.
        raise CheckpointError(f"{file} is no config: {_first_line(error)}", "write it as transformers does") from error


def load_tokenizer(plan: Plan) -> Any:
    """Raises CheckpointError where there is none."""
    folder = plan.checkpoint.path if plan.checkpoint else plan.tokenizer
    if folder is not None and not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder with a tokenizer", _WAY_OUT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Advice to developers.
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no tokenizer: {_first_line(error)}", _WAY_OUT) from error
    # Without a file transformers makes an empty vocabulary, to which every word is unknown.
    files = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
    if folder is not None and not any((folder / file).is_file() for file in files):
        raise CheckpointError(f"{folder} has no tokenizer", _WAY_OUT)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise CheckpointError(f"the tokenizer in {folder} has no token to pad with", _WAY_OUT)
    return tokenizer


def load_model(plan: Plan, kind: Any, tokenizer: Any, settings: Mapping[str, Any] | None = None) -> Any:
    """A model of transformers' Auto class `kind`, ready to learn; `settings` go over its config.

    Random weights are drawn from the recipe's seed. Raises CheckpointError for a checkpoint that is not of this kind.
    """
    set_seed(plan.recipe.seed)  # A new head is drawn too.
    settings = dict(settings or {})
    # On a CPU the backward pass of fused attention takes, in bf16, more time than all else together.
    attention = "eager" if pick_device(plan.device).type == "cpu" else None
    if kind is AutoModelForCausalLM and _sees_what_comes(load_config(plan)):
        raise _unfit(plan)
    try:
        if plan.checkpoint is None:
            return kind.from_config(_config(plan, tokenizer, settings), dtype=held(plan), attn_implementation=attention)
        with readable(plan.checkpoint) as plain:
            return kind.from_pretrained(
                plain.path, local_files_only=True, dtype=held(plan), use_safetensors=True,
                ignore_mismatched_sizes=True, attn_implementation=attention, **settings,
            )  # fmt: skip
    except (OSError, ValueError, TypeError, KeyError) as error:
        if "Unrecognized configuration class" in str(error):
            raise _unfit(plan) from error
        name = plan.checkpoint.name if plan.checkpoint else plan.config
        raise CheckpointError(
            f"{name} cannot be loaded: {_first_line(error)}", "lmcli list --all shows what can"
        ) from error


def _config(plan: Plan, tokenizer: Any, settings: Mapping[str, Any]) -> Any:
    """The config file's, told of its tokenizer."""
    config = load_config(plan)
    start = tokenizer.eos_token_id if config.model_type in _BEGIN_WITH_END else tokenizer.pad_token_id
    told = {
        "vocab_size": len(tokenizer), "decoder_vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": start, "forced_eos_token_id": None,
    }  # fmt: skip
    for name, value in (told | dict(settings)).items():
        starts = name == "decoder_start_token_id" and config.is_encoder_decoder  # which T5's config need not have
        if starts or hasattr(config, name) or name in settings:
            setattr(config, name, value)
    return config


def _sees_what_comes(config: Any) -> bool:
    """Whether it is an encoder, or has one: it would be told the very token it is to guess."""
    others = (MODEL_FOR_MASKED_LM_MAPPING_NAMES, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    return any(config.model_type in names for names in others) and not getattr(config, "is_decoder", False)


def _unfit(plan: Plan) -> CheckpointError:
    kind = plan.checkpoint.model_type if plan.checkpoint else "model of this config"
    return CheckpointError(f"a {kind} cannot be trained for {plan.recipe.task}", "lmcli list --all shows what can")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".:")
