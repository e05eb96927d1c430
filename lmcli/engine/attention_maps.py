"""Attention maps: where each token of a short text looks, in every layer and head, of a checkpoint of any kind.

Fused attention never holds these weights. So the text is read once more by transformers, in fp32, with the attention
that is computed step by step.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from lmcli.engine.batches import encode
from lmcli.engine.device import pick_device
from lmcli.engine.loading import load_engine
from lmcli.engine.memory import memory_errors
from lmcli.engine.rewriting import RewritingEngine
from lmcli.engine.spelling import Spelling
from lmcli.engine.transformers_engine import TransformersTokenizer, load_eager
from lmcli.engine.transformers_tokenizer import load_tokenizer
from lmcli.errors import CheckpointError, InputTooLong
from lmcli.explanations import AttentionMap, AttentionMaps, AttentionWish
from lmcli.types import Checkpoint, Event, LoadOptions, SamplingParams

Part = Literal["encoder", "decoder", "cross"]
MOST = 64  # tokens on a side: more cannot be read off a picture


def read_attention(
    checkpoint: Checkpoint, text: str, wish: AttentionWish, options: LoadOptions, report: Callable[[Event], None]
) -> AttentionMaps:
    """The attention of an encoder or a decoder over `text`; of an encoder-decoder also that of what it writes for it.

    Raises InputTooLong for more than 64 tokens on a side, CheckpointError where there is no attention to be seen,
    UsageError for a language that the checkpoint does not know.
    """
    with memory_errors(checkpoint):
        if checkpoint.kind == "seq2seq":
            return _read_seq2seq(checkpoint, text, wish, options, report)
        tokenizer = load_tokenizer(checkpoint, options.trust_remote_code)
        # A decoder goes on from a text as it is; in any other a mark that is quoted is no mark.
        inputs = list((tokenizer(text) if checkpoint.kind == "causal" else encode(tokenizer, text))["input_ids"])
        _check_short(len(inputs), "text")
        seen = getattr(_attend(checkpoint, options, input_ids=inputs), "attentions", None)
        tokens = _spelled(checkpoint, tokenizer, inputs)
        part: Part = "decoder" if checkpoint.kind == "causal" else "encoder"
        return AttentionMaps(checkpoint.name, text, (_map(checkpoint, part, tokens, tokens, seen),))


def _read_seq2seq(
    checkpoint: Checkpoint, text: str, wish: AttentionWish, options: LoadOptions, report: Callable[[Event], None]
) -> AttentionMaps:
    engine = load_engine(checkpoint, options, report)
    assert isinstance(engine, RewritingEngine)
    tokenizer, given = load_tokenizer(checkpoint, options.trust_remote_code), None
    if wish.written is not None:
        # Marian alone cuts what it reads and what it writes by different rules.
        name = "text_target" if checkpoint.model_type == "marian" else "text"
        given = tokenizer(**{name: wish.written}, add_special_tokens=False)["input_ids"]
    inputs, read = engine.read_and_write(text, SamplingParams(), wish.source, wish.target, given)
    _check_short(len(inputs), "text")
    _check_short(len(read), "text that is written for it")
    output = _attend(checkpoint, options, input_ids=inputs, decoder_input_ids=read)
    source, target = (_spelled(checkpoint, tokenizer, tokens) for tokens in (inputs, read))
    # Where the decoder reads a token the next one is written: that is what it looks at the source for.
    written = (*target[1:], str(tokenizer.eos_token))
    maps = (
        _map(checkpoint, "cross", written, source, output.cross_attentions),
        _map(checkpoint, "encoder", source, source, output.encoder_attentions),
        _map(checkpoint, "decoder", target, target, output.decoder_attentions),
    )
    return AttentionMaps(checkpoint.name, text, maps, engine.decode(read[1:]))


@torch.inference_mode()
def _attend(checkpoint: Checkpoint, options: LoadOptions, **tokens: list[int]) -> Any:
    """What transformers makes of `tokens`, with all attention weights."""
    device = pick_device(options.device)
    model = load_eager(checkpoint, options.trust_remote_code).to(device)
    inputs = {name: torch.tensor([ids], device=device) for name, ids in tokens.items()}
    return model(**inputs, output_attentions=True)


def _map(
    checkpoint: Checkpoint, part: Part, rows: Sequence[str], columns: Sequence[str], layers: Sequence[Tensor] | None
) -> AttentionMap:
    """Of weights (1, heads, rows, columns) a layer; layers that attend to nothing are left out."""
    attending = [layer[0].float().cpu() for layer in layers or () if layer is not None]
    if not attending:
        raise CheckpointError(
            f"{checkpoint.name} ({checkpoint.model_type}) has no attention to be seen", "choose a transformer"
        )
    stacked = torch.stack(attending)  # (layers, heads, rows, columns)
    weights = array("f", stacked.flatten().tolist())
    return AttentionMap(part, tuple(rows), tuple(columns), stacked.shape[0], stacked.shape[1], weights)


def _spelled(checkpoint: Checkpoint, tokenizer: Any, tokens: Sequence[int]) -> tuple[str, ...]:
    spelled = Spelling(TransformersTokenizer(tokenizer, checkpoint.path))
    if spelled.by_vocabulary:
        return tuple(map(spelled, tokens))
    return tuple(str(piece).replace("▁", " ") for piece in tokenizer.convert_ids_to_tokens(list(tokens)))


def _check_short(length: int, what: str) -> None:
    if length > MOST:
        raise InputTooLong(
            f"the {what} has {length} tokens; attention is drawn of {MOST} at most", "give a sentence of it"
        )
