"""Every architecture that is not ours, through transformers: causal decoders here, the other kinds beside it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from lmcli.engine.chat_template import ChatTemplate, read_template
from lmcli.engine.device import Placement, place
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.tokenizer import read_json, read_stop_ids
from lmcli.engine.transformers_classifier import TransformersClassifier
from lmcli.engine.transformers_seq2seq import TransformersSeq2Seq
from lmcli.errors import CheckpointError, LmcliError, UnsafeCheckpoint
from lmcli.types import Checkpoint, Engine, Event, Prompt

_CLASSES = {
    "causal": transformers.AutoModelForCausalLM,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "classifier": transformers.AutoModelForSequenceClassification,
}


def open_engine(
    checkpoint: Checkpoint, device: str, dtype: str, trust_remote_code: bool, report: Callable[[Event], None]
) -> Engine:
    """The engine for a checkpoint of any kind. Raises UnsafeCheckpoint where it brings code of its own and may not run
    it, CheckpointError where transformers cannot load it."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    placement = place(checkpoint, device, _faithful_dtype(checkpoint, device, dtype), report)
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers advises developers; the user can do nothing about it.
            tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.path, **options)
            model = _CLASSES[checkpoint.kind].from_pretrained(
                checkpoint.path, dtype=placement.dtype, use_safetensors=True, **options
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _refused(checkpoint, error) from error
    model = model.to(placement.device).eval()
    if checkpoint.kind == "seq2seq":
        return TransformersSeq2Seq(checkpoint, model, tokenizer)
    if checkpoint.kind == "classifier":
        return TransformersClassifier(checkpoint, model, tokenizer)
    return GenerationEngine(
        checkpoint, TransformersTokenizer(tokenizer, checkpoint.path), TransformersDecoder(model, placement)
    )


class TransformersTokenizer:
    """tokenizer.Tokenizer over transformers'."""

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        self._tokenizer = tokenizer
        source = read_template(folder, read_json(folder / "tokenizer_config.json"))
        special = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        self._template = ChatTemplate(source, special, tuple(tokenizer.all_special_tokens)) if source else None
        eos = tokenizer.eos_token_id
        self.stop_ids = read_stop_ids(folder) | (frozenset() if eos is None else frozenset({eos}))

    def encode(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return list(self._tokenizer(prompt)["input_ids"])
        if self._template is None:
            raise CheckpointError(
                "this is a base checkpoint: it has no chat template",
                "use lmcli generate, or an instruct checkpoint",
            )
        return [token for piece in self._template.render(prompt) for token in self.encode_continuation(piece)]

    def encode_continuation(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class TransformersDecoder:
    """generation.Decoder over any causal model, with the cache the model makes for itself."""

    def __init__(self, model: Any, placement: Placement) -> None:
        self.device = placement.device
        self.context_length = positions(model.config) or 2048
        self.tokens: list[int] = []
        self._model = model
        self._cache: Any = None
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def forward(self, tokens: Sequence[int], last: int = 1) -> Tensor:
        # A model without a cache reads everything anew.
        fed = [*self.tokens, *tokens] if self._cache is None else tokens
        ids = torch.tensor([list(fed)], device=self.device)
        options = {"logits_to_keep": last} if self._keeps_logits else {}
        kept, self.tokens, cache = self.tokens, [], self._cache
        self._cache = None  # An interrupted pass may have filled some layers only: then start anew.
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, **options)
        self._cache, self.tokens = getattr(output, "past_key_values", None), [*kept, *tokens]
        logits: Tensor = output.logits[0, -last:].float()
        return logits

    def rewind(self, length: int) -> int:
        surplus = len(self.tokens) - length
        if surplus > 0 and length > 0 and self._cache is not None:
            try:
                self._cache.crop(-surplus)
                self.tokens = self.tokens[:length]
            except (AttributeError, RuntimeError, ValueError, NotImplementedError):
                length = 0  # A recurrent state, or a window that has slid on, cannot be cut.
        if length <= 0 or self._cache is None:
            self._cache, self.tokens = None, []
        return len(self.tokens)


def positions(config: Any) -> int | None:
    """Tokens the model has positions for, under the names the architectures give it."""
    text = config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx"):
        if isinstance(value := getattr(text, name, None), int) and value > 0:
            return value
    return None


def _faithful_dtype(checkpoint: Checkpoint, device: str, dtype: str) -> str:
    # On a CPU a causal model keeps its own bf16; encoders are small, and half precision changes what they say.
    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if dtype != "auto" or not on_cpu:
        return dtype
    return "bfloat16" if checkpoint.kind == "causal" and checkpoint.dtype == "bfloat16" else "float32"


def _refused(checkpoint: Checkpoint, error: Exception) -> LmcliError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error):
        return UnsafeCheckpoint(
            f"{checkpoint.name} brings its own code, which could do anything on this machine",
            "if you trust its author, add --trust-remote-code",
        )
    if isinstance(error, ImportError):
        return CheckpointError(f"{checkpoint.name} needs a library that is not installed: {reason}", "install it")
    return CheckpointError(f"transformers cannot load {checkpoint.name}: {reason}", "pull it again, or choose another")
