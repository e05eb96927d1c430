"""Every architecture that is not ours, through transformers: causal decoders here, the other kinds beside it."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch import Tensor

from lmcli.engine.batches import positions
from lmcli.engine.branches import Tree
from lmcli.engine.chat_template import ChatTemplate, read_template
from lmcli.engine.device import Placement, integers, place
from lmcli.engine.files import read_json
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.restoring import readable
from lmcli.engine.tokenizer import Tokenizer, read_stop_ids
from lmcli.engine.transformers_classifier import TransformersClassifier
from lmcli.engine.transformers_qa import TransformersReader
from lmcli.engine.transformers_seq2seq import open_seq2seq
from lmcli.engine.transformers_tokenizer import load_tokenizer, refuse
from lmcli.errors import CheckpointError
from lmcli.protocols import Engine
from lmcli.types import Checkpoint, Event, LoadOptions

_CLASSES = {
    "causal": transformers.AutoModelForCausalLM,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "classifier": transformers.AutoModelForSequenceClassification,
    "qa": transformers.AutoModelForQuestionAnswering,
}
_CACHES = ("past_key_values", "cache_params", "state")  # what the architectures call their cache


def open_engine(checkpoint: Checkpoint, options: LoadOptions, report: Callable[[Event], None]) -> Engine:
    """The engine for a checkpoint of any kind. Raises UnsafeCheckpoint where it brings code of its own and may not run
    it, CheckpointError where transformers cannot load it or its weights do not fit its config."""
    _quieten()
    # Nothing is packed by us, also where a library keeps the weights in few bits.
    dtype = _faithful_dtype(checkpoint, options.device, options.dtype)
    faithful = replace(options, dtype=dtype, low_memory=True)
    placement = place(checkpoint, faithful, report)
    tokenizer = load_tokenizer(checkpoint, options.trust_remote_code)
    if placement.shared:
        model = _load(checkpoint, placement.dtype, options.trust_remote_code, device_map="auto").eval()
    else:
        model = _load(checkpoint, placement.dtype, options.trust_remote_code).to(placement.device).eval()
    if checkpoint.kind == "seq2seq":
        return open_seq2seq(checkpoint, model, tokenizer)
    if checkpoint.kind == "classifier":
        return TransformersClassifier(checkpoint, model, tokenizer)
    if checkpoint.kind == "qa":
        return TransformersReader(checkpoint, model, tokenizer)
    decoder = TransformersDecoder(model, placement)
    return GenerationEngine(checkpoint, TransformersTokenizer(tokenizer, checkpoint.path), decoder, options.context)


def load_eager(checkpoint: Checkpoint, trust_remote_code: bool) -> Any:
    """Its model in fp32, which tells the weights of its attention. Raises as `open_engine` does."""
    _quieten()
    with readable(checkpoint) as plain:
        return _load(plain, torch.float32, trust_remote_code, attn_implementation="eager").eval()


class TransformersTokenizer(Tokenizer):
    """transformers' own tokenizer of a checkpoint."""

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        self._tokenizer = tokenizer
        source = read_template(folder, read_json(folder / "tokenizer_config.json"))
        special = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        marks, added = set(tokenizer.all_special_tokens), set(tokenizer.get_added_vocab())
        self.template = ChatTemplate(source, special, marks, added) if source else None
        eos = tokenizer.eos_token_id
        self.stop_ids = read_stop_ids(folder) | (frozenset() if eos is None else frozenset({eos}))

    def encode_text(self, text: str) -> list[int]:
        return list(self._tokenizer(text)["input_ids"])

    def encode_continuation(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    @property
    def backend(self) -> tokenizers.Tokenizer | None:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)  # else it is in Python, or sentencepiece itself
        return backend if isinstance(backend, tokenizers.Tokenizer) else None


class TransformersDecoder:
    """generation.Decoder over any causal model, with the cache the model makes for itself."""

    def __init__(self, model: Any, placement: Placement) -> None:
        self.device = placement.device
        self.context_length = positions(model.config) or 2048
        self.tokens: list[int] = []
        self.verifies = False  # Not every cache can be taken back.
        self._model = model
        self._cache: Any = None
        parameters = inspect.signature(model.forward).parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self._cache_name = next((name for name in _CACHES if name in parameters), _CACHES[0])

    @torch.inference_mode()
    def forward(self, tokens: Sequence[int], last: int = 1) -> Tensor:
        held, cache = self.tokens, self._cache
        self.tokens, self._cache = [], None  # An interrupted pass may have filled some layers only: then start anew.
        if held and (cache is None or (len(tokens) > 1 and not self._resumes)):
            logits, cache = self._pass([*held, *tokens], None, last)
        else:
            logits, cache = self._pass(tokens, cache, last)
        self.tokens, self._cache = [*held, *tokens], cache
        return logits

    def prepare(self) -> None:
        pass

    def rewind(self, length: int) -> int:
        surplus = len(self.tokens) - length
        if self._cache is None or length <= 0 or (surplus > 0 and not self._crop(surplus)):
            self._cache, length = None, 0
        self.tokens = self.tokens[:length]
        return len(self.tokens)

    def batch(self, rows: int, longest: int) -> None:
        """Not every architecture can be batched: recurrent states and caches of other shapes go one by one."""

    def branch(self, tree: Tree) -> None:
        """Nor can every architecture have tokens see but their own branch."""

    def _pass(self, tokens: Sequence[int], cache: Any, last: int) -> tuple[Tensor, Any]:
        """Logits (last, V) of `tokens` behind those in `cache`, and the cache with them."""
        options: dict[str, Any] = {} if cache is None else {self._cache_name: cache}
        if self._keeps_logits:
            options["logits_to_keep"] = last
        output = self._model(input_ids=integers(tokens, self.device)[None], use_cache=True, **options)
        return output.logits[0, -last:].float(), getattr(output, self._cache_name, None)

    def _crop(self, surplus: int) -> bool:
        """Whether the cache could forget its last tokens: no recurrent state can, nor a window that has slid on."""
        try:
            self._cache.crop(-surplus)
        except (AttributeError, RuntimeError, ValueError):
            return False
        return True

    @cached_property
    def _resumes(self) -> bool:
        """Whether a pass of several tokens may follow another. Mamba and Jamba then forget their state, without a word,
        other recurrent models do not: so it is tried, once."""
        if not getattr(self._model, "_is_stateful", False):
            return True
        tokens = range(1, 13)
        whole, _ = self._pass(tokens, None, 1)
        _, cache = self._pass(tokens[:6], None, 1)
        resumed, _ = self._pass(tokens[6:], cache, 1)
        return bool((resumed - whole).norm() < 0.1 * (whole - whole.mean()).norm())


def _quieten() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # It says of every layer what it casts.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _load(checkpoint: Checkpoint, dtype: torch.dtype, trust_remote_code: bool, **options: Any) -> Any:
    """Its model, as transformers finds its class; `options` are more of from_pretrained's."""
    options |= {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers advises developers; the user can do nothing about it.
            model, found = _CLASSES[checkpoint.kind].from_pretrained(
                checkpoint.path, dtype=dtype, use_safetensors=True, output_loading_info=True,
                ignore_mismatched_sizes=True, **options,
            )  # fmt: skip
    except Exception as error:  # Whatever goes wrong in there is about this checkpoint.
        refuse(checkpoint, error)
    _check_weights(checkpoint, model, found)
    return model


def _check_weights(checkpoint: Checkpoint, model: Any, found: dict[str, Any]) -> None:
    """transformers fills what is missing with random numbers and says so in a log; here it is an error."""
    # Sinusoidal positions follow from the config, and so are often left out.
    computed = {name for name, module in model.named_modules() if "Sinusoidal" in type(module).__name__}
    weights = {name for name, _ in model.named_parameters() if name.rpartition(".")[0] not in computed}
    misfits = sorted({name for name, *_ in found["mismatched_keys"]} | (set(found["missing_keys"]) & weights))
    if misfits:
        others = f" and {len(misfits) - 1} others" if misfits[1:] else ""
        raise CheckpointError(
            f"the weights of {checkpoint.name} do not fit its config: {misfits[0]}{others}",
            "pull it again, or choose another: lmcli list --all",
        )


def _faithful_dtype(checkpoint: Checkpoint, device: str, dtype: str) -> str:
    # Encoders are small, half precision changes what they say, and T5 overflows in fp16. On a CPU a causal model keeps
    # its own bf16.
    if dtype != "auto":
        return dtype
    if checkpoint.kind != "causal":
        return "float32"
    on_cpu = device == "cpu" or (
        device == "auto" and not (torch.cuda.is_available() or torch.backends.mps.is_available())
    )
    return ("bfloat16" if checkpoint.dtype == "bfloat16" else "float32") if on_cpu else dtype
