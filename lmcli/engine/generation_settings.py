"""A checkpoint's own generation settings: beams, lengths, penalties, from generation_config.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcli.engine.config import NotUnderstood
from lmcli.engine.files import read_json

# What we follow, as `generate` names it.
_FOLLOWED = {
    "num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size", "min_length", "max_length",
    "max_new_tokens", "min_new_tokens", "bad_words_ids", "forced_bos_token_id", "decoder_start_token_id",
    "eos_token_id", "renormalize_logits", "repetition_penalty",
}  # fmt: skip
# What our callers settle, or what changes nothing: a forced end would make a cut text look whole.
_SETTLED = {
    "bos_token_id", "pad_token_id", "do_sample", "temperature", "top_k", "top_p", "forced_eos_token_id", "use_cache",
    "transformers_version", "_from_model_config", "output_attentions", "output_hidden_states", "output_scores",
    "output_logits", "return_dict_in_generate",
}  # fmt: skip
# Ways to generate that are not ours, and the value each is off by.
_FOREIGN: dict[str, Any] = {
    "num_return_sequences": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0, "typical_p": 1.0, "min_p": 0.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0,
    "penalty_alpha": 0.0, "guidance_scale": 1.0, "remove_invalid_values": False, "constraints": None, "top_h": None,
    "force_words_ids": None, "sequence_bias": None, "suppress_tokens": None, "begin_suppress_tokens": None,
    "forced_decoder_ids": None, "exponential_decay_length_penalty": None, "stop_strings": None, "low_memory": None,
    "max_time": None, "token_healing": False, "watermarking_config": None, "prompt_lookup_num_tokens": None,
    "cache_implementation": None, "dola_layers": None, "is_assistant": False, "num_assistant_tokens": None,
    "num_assistant_tokens_schedule": None, "assistant_confidence_threshold": None, "use_model_defaults": None,
}  # fmt: skip
SETTINGS = _FOLLOWED | _SETTLED | set(_FOREIGN) - {"constraints"}


@dataclass(frozen=True)
class GenerationSettings:
    """How an encoder-decoder is to write; lengths are in tokens, the start token not counted.

    `length_penalty` is the power of the length that a beam's log-likelihood is divided by. `early_stopping` True ends a
    sentence when as many beams as there are have ended, False when no running one can become better than they as it is,
    "never" when none can at its full length.
    """

    start_token_id: int
    eos_token_ids: tuple[int, ...]
    max_tokens: int
    min_tokens: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    no_repeat_ngram_size: int = 0
    bad_words: tuple[tuple[int, ...], ...] = ()
    forced_first_token: int | None = None
    repetition_penalty: float = 1.0
    renormalize: bool = False


def read_options(folder: Path) -> dict[str, Any]:
    """The settings of a checkpoint under `generate`'s names. Raises NotUnderstood for those that are not ours."""
    config = read_json(folder / "config.json")
    options = read_json(folder / "generation_config.json") or {k: v for k, v in config.items() if k in SETTINGS}
    for name in ("decoder_start_token_id", "eos_token_id"):
        options.setdefault(name, config.get(name))
    for name, value in options.items():
        if name not in _FOLLOWED | _SETTLED and value not in (None, _FOREIGN.get(name)):
            raise NotUnderstood(f"{name}={value!r} in the generation settings")
    if options["decoder_start_token_id"] is None or options["eos_token_id"] is None:
        raise NotUnderstood("generation settings without a start or end token")
    return {name: value for name, value in options.items() if name in _FOLLOWED and value is not None}


def settle(options: dict[str, Any]) -> GenerationSettings:
    """Settings from `generate`'s options, of which later ones have been laid over the checkpoint's own."""
    # min_length and max_length count the start token.
    most = options.get("max_new_tokens") or options["max_length"] - 1
    least = max((options.get("min_length") or 0) - 1, options.get("min_new_tokens") or 0)
    eos = options["eos_token_id"]
    ends = tuple(eos) if isinstance(eos, list) else (eos,)
    return GenerationSettings(
        start_token_id=options["decoder_start_token_id"],
        eos_token_ids=ends,
        max_tokens=most,
        min_tokens=least,
        num_beams=options.get("num_beams") or 1,
        length_penalty=_or(options.get("length_penalty"), 1.0),
        early_stopping=_or(options.get("early_stopping"), False),
        no_repeat_ngram_size=options.get("no_repeat_ngram_size") or 0,
        bad_words=tuple(tuple(word) for word in options.get("bad_words_ids") or () if tuple(word) not in _single(ends)),
        forced_first_token=options.get("forced_bos_token_id"),
        repetition_penalty=_or(options.get("repetition_penalty"), 1.0),
        renormalize=bool(options.get("renormalize_logits")),
    )


def _single(tokens: tuple[int, ...]) -> set[tuple[int, ...]]:
    return {(token,) for token in tokens}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
