"""Our own encoders of the BERT family with the head that marks an answer in a text: its first and its last token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lmcli.engine.config import NotUnderstood
from lmcli.engine.encoder import Encoder, EncoderConfig
from lmcli.engine.encoder_engine import in_batches, load_encoder, named_weights, place_encoder, read_fields
from lmcli.engine.linear import Linear
from lmcli.engine.memory import memory_errors
from lmcli.engine.pairs import PairTokenizer
from lmcli.engine.projection import Projection
from lmcli.engine.rows import Row, Rows, fill
from lmcli.engine.spans import Window, answers, cut
from lmcli.engine.weights import read_weights
from lmcli.errors import InputTooLong
from lmcli.protocols import Found
from lmcli.types import Checkpoint, Event, LoadOptions, Prompt

WINDOW, OVERLAP = 384, 128  # tokens, as they were trained: question and text together, and what two windows share


@dataclass(frozen=True)
class Understood:
    """A checkpoint that marks answers, all of it known to us: its weights by the module's names, and its tokenizer."""

    config: EncoderConfig
    weights: dict[str, Tensor]
    tokenizer: PairTokenizer


def understand(checkpoint: Checkpoint) -> Understood:
    """Raises NotUnderstood where any of it is not ours to compute."""
    config = read_fields(checkpoint.path)
    tokenizer = PairTokenizer(checkpoint.path, checkpoint.model_type)
    if config.num_token_types and max(tokenizer.frame.types) >= config.num_token_types:
        raise NotUnderstood(f"type_vocab_size={config.num_token_types} with a tokenizer of more types")
    names = {**config.names, "output": "qa_outputs"}
    return Understood(config, named_weights(SpanEncoder(config), names, read_weights(checkpoint.path)), tokenizer)


def open_engine(
    checkpoint: Checkpoint, understood: Understood, options: LoadOptions, report: Callable[[Event], None]
) -> EncoderReader:
    """The engine for a checkpoint that was understood. Raises CheckpointError for weights that do not fit."""
    placement = place_encoder(checkpoint, options, report)
    encoder = load_encoder(SpanEncoder(understood.config), understood.weights, placement, options.bits)
    return EncoderReader(checkpoint, encoder, understood.tokenizer, placement.device)


class SpanEncoder(Encoder):
    """Rows of tokens to two logits each: that an answer begins there, and that it ends there."""

    def build_head(self) -> tuple[Projection, ...]:
        self.output = Linear(self.config.hidden_size, 2, bias=True)
        return (Projection(self.output),)

    def forward(self, rows: Rows) -> Tensor:
        """Logits (tokens, 2) in fp32."""
        return self.logits(self.encode(rows))


class EncoderReader:
    """protocols.QAEngine over our encoder."""

    def __init__(
        self, checkpoint: Checkpoint, encoder: SpanEncoder, tokenizer: PairTokenizer, device: torch.device
    ) -> None:
        self.checkpoint = checkpoint
        limits = (encoder.config.context_length, tokenizer.longest or WINDOW, WINDOW)
        self.context_length = min(limits)
        self._encoder, self._tokenizer, self._device = encoder, tokenizer, device

    def count(self, prompt: Prompt) -> int:
        return len(self._tokenizer.encode([str(prompt)])[0])

    def answer(self, question: str, texts: Sequence[str], top: int = 1) -> tuple[list[Found], float]:
        asked = self._tokenizer.piece(question).tokens
        frame = self._tokenizer.frame
        room = room_beside(len(asked) + len(frame), self.context_length, self.checkpoint.name)
        pieces = [self._tokenizer.piece(text) for text in texts]
        places = [
            (i, first, end) for i, piece in enumerate(pieces) for first, end in cut(len(piece.tokens), room, OVERLAP)
        ]
        pairs = [frame.around(asked, pieces[i].tokens[first:end]) for i, first, end in places]
        inputs, types = [tokens for tokens, _ in pairs], [kinds for _, kinds in pairs]
        logits = in_batches(partial(self._logits, inputs, types), [len(tokens) for tokens in inputs], self._device)
        head = len(frame.before) + len(asked) + len(frame.between)
        windows = []
        for (i, first, end), both in zip(places, logits, strict=True):
            starts, ends = both[head : head + end - first].unbind(-1)
            nothing = float(both[0, 0]), float(both[0, 1])
            windows.append(Window(i, first, pieces[i].offsets[first:end], starts, ends, nothing))
        return answers(windows, texts, top)

    @torch.inference_mode()
    def _logits(
        self, inputs: Sequence[Sequence[int]], types: Sequence[Sequence[int]], batch: Sequence[Row]
    ) -> list[Tensor]:
        """For each text of the batch its tokens' logits (T, 2)."""
        rows = fill(batch, inputs, self._device, types)
        with memory_errors(self.checkpoint):
            logits = self._encoder(rows).cpu()
        lengths = (len(inputs[i]) for row in batch for i in row.texts)
        return [logits[first : first + length] for first, length in zip(rows.first.tolist(), lengths, strict=True)]


def room_beside(taken: int, context: int, name: str) -> int:
    """Tokens of a text that go with a question of `taken` tokens, marks included. Raises InputTooLong for too few."""
    room = context - taken
    if room < 1:
        raise InputTooLong(
            f"the question has {taken} tokens, {name} reads {context} together with the text", "ask a shorter question"
        )
    return room
