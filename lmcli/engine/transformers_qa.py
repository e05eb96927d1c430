"""Checkpoints that mark answers, of every architecture that is not ours, through transformers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lmcli.engine.batches import by_length, encode, usable_context
from lmcli.engine.memory import memory_errors
from lmcli.engine.qa_engine import OVERLAP, WINDOW, room_beside
from lmcli.engine.spans import Window, answers
from lmcli.errors import CheckpointError
from lmcli.protocols import Found
from lmcli.types import Checkpoint, Prompt

_BATCH_TOKENS = 4096  # of padded input


class TransformersReader:
    """protocols.QAEngine over a model with a head for answers.

    Raises CheckpointError for a tokenizer that cannot say where in a text its tokens stand.
    """

    def __init__(self, checkpoint: Checkpoint, model: Any, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise CheckpointError(
                f"the tokenizer of {checkpoint.name} does not say where in a text a token stands",
                "choose a checkpoint with a tokenizer.json, or a chat model: lmcli ask -m REF",
            )
        self.checkpoint = checkpoint
        self.context_length = min(usable_context(model, tokenizer), WINDOW)
        self._model, self._tokenizer = model, tokenizer
        self._accepted = set(inspect.signature(model.forward).parameters)
        # A special token that a text quotes stays text.
        tokenizer.backend_tokenizer.encode_special_tokens = True
        pads = tokenizer.pad_token_id is not None and model.config.get_text_config().pad_token_id is not None
        self._batch_tokens = _BATCH_TOKENS if pads else 1

    def count(self, prompt: Prompt) -> int:
        return len(encode(self._tokenizer, str(prompt))["input_ids"])

    def answer(self, question: str, texts: Sequence[str], top: int = 1) -> tuple[list[Found], float]:
        asked = self._tokenizer(question, add_special_tokens=False)["input_ids"]
        taken = len(asked) + self._tokenizer.num_special_tokens_to_add(pair=True)
        room = room_beside(taken, self.context_length, self.checkpoint.name)
        windows = [window for i, text in enumerate(texts) for window in self._windows(i, question, text, room)]
        return answers(windows, texts, top)

    def _windows(self, number: int, question: str, text: str, room: int) -> Iterator[Window]:
        overlap = min(OVERLAP, room // 2)
        encoded = self._tokenizer(
            question, text, truncation="only_second", max_length=self.context_length, stride=overlap,
            return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        offsets = encoded.pop("offset_mapping")
        encoded.pop("overflow_to_sample_mapping", None)
        inputs = [{name: encoded[name][i] for name in encoded} for i in range(len(offsets))]
        first = 0
        for i, (starts, ends) in enumerate(self._logits(inputs)):
            where = [place for place, side in enumerate(encoded.sequence_ids(i)) if side == 1]
            nothing = float(starts[0]), float(ends[0])
            own = [tuple(offsets[i][place]) for place in where]
            yield Window(number, first, own, starts[where], ends[where], nothing)
            first += len(where) - overlap

    def _logits(self, inputs: Sequence[Any]) -> list[tuple[Tensor, Tensor]]:
        """For each window the logits (T,) of its tokens, that an answer begins there and ends there."""
        lengths = [len(each["input_ids"]) for each in inputs]
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for batch in by_length(lengths, self._batch_tokens):
            starts, ends = self._compute([inputs[i] for i in batch])
            for i, start, end in zip(batch, starts, ends, strict=True):
                # What pads stands on one side or the other.
                kept = slice(None, lengths[i]) if self._tokenizer.padding_side == "right" else slice(-lengths[i], None)
                found[i] = start[kept], end[kept]
        return [found[i] for i in range(len(inputs))]

    @torch.inference_mode()
    def _compute(self, batch: Sequence[Any]) -> tuple[Tensor, Tensor]:
        padded = self._tokenizer.pad(list(batch), padding=len(batch) > 1, return_tensors="pt").to(self._model.device)
        with memory_errors(self.checkpoint):
            output = self._model(**{name: tensor for name, tensor in padded.items() if name in self._accepted})
        if getattr(output, "start_logits", None) is None:
            raise CheckpointError(
                f"{self.checkpoint.name} marks answers in a way that lmcli does not know",
                "choose another checkpoint: lmcli ask -m REF",
            )
        return output.start_logits.float().cpu(), output.end_logits.float().cpu()
