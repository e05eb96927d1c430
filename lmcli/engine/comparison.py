"""How far a quantized checkpoint is from the one it was made of: both read the same text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcli.engine import torch_engine
from lmcli.engine.device import place
from lmcli.engine.tokenizer import FastTokenizer
from lmcli.engine.torch_engine import TorchDecoder, load_decoder
from lmcli.errors import InputError
from lmcli.types import Checkpoint, Event, LoadOptions, Progress

_BLOCK = 128  # tokens whose logits are held at once: at 150,000 tokens of vocabulary 80 MB a decoder
_LONGEST = 2048  # tokens


@dataclass(frozen=True)
class Comparison:
    """Perplexity of both on `tokens` tokens; how often their likeliest next token is the same; and how far the logits
    are apart, ‖after - before‖ / ‖before‖ with each position's mean taken off, averaged over the positions."""

    tokens: int
    perplexity_before: float
    perplexity_after: float
    agreement: float
    relative_error: float


def compare(
    before: Checkpoint, after: Checkpoint, text: str, options: LoadOptions, report: Callable[[Event], None]
) -> Comparison:
    """Both decoders' next-token distributions over `text`, of which they read at most 2,048 tokens.

    They are read as a prompt is, so it is the weights' rounding that is measured. Raises InputError for a text of
    fewer than two tokens.
    """
    tokens = FastTokenizer(before.path).encode_text(text)[:_LONGEST]
    decoders = [_decoder(checkpoint, options) for checkpoint in (before, after)]
    tokens = tokens[: min(decoder.context_length for decoder in decoders)]
    if len(tokens) < 2:
        raise InputError("the text to compare on has fewer than two tokens", "give a longer one: --text FILE")
    losses, agreed, apart, done = [0.0, 0.0], 0, 0.0, 0
    for first, block in _blocks(tokens[:-1]):
        target = torch.tensor(tokens[first + 1 : first + 1 + len(block)]).unsqueeze(1)
        logits = [decoder.forward(block, last=len(block)).cpu() for decoder in decoders]
        for side, scores in enumerate(logits):
            losses[side] -= float(scores.log_softmax(-1).gather(1, target).sum(dtype=torch.float64))
        agreed += int((logits[0].argmax(-1) == logits[1].argmax(-1)).sum())
        apart += float(_relative(*logits).sum())
        done += len(block)
        report(Progress(done, len(tokens) - 1, "tokens"))
    perplexity, perplexity_after = (math.exp(loss / done) for loss in losses)
    return Comparison(done, perplexity, perplexity_after, agreed / done, apart / done)


def _decoder(checkpoint: Checkpoint, options: LoadOptions) -> TorchDecoder:
    config = torch_engine.understand(checkpoint)
    placement = place(checkpoint, options, lambda event: None)
    return TorchDecoder(load_decoder(checkpoint, config, placement), placement)


def _blocks(tokens: list[int]) -> Iterator[tuple[int, list[int]]]:
    """`tokens` in blocks of nearly one length, each with its place: a last one of few tokens would be decoded."""
    pieces = torch.arange(len(tokens)).tensor_split(math.ceil(len(tokens) / _BLOCK))
    for piece in pieces:
        yield int(piece[0]), tokens[int(piece[0]) : int(piece[-1]) + 1]


def _relative(before: Tensor, after: Tensor) -> Tensor:
    """(T,) of logits (T, V), which mean the same whatever is added to all of them."""
    before, after = (logits - logits.mean(-1, keepdim=True) for logits in (before, after))
    return (after - before).norm(dim=-1) / before.norm(dim=-1)
