"""Rewriting: the engine of any encoder-decoder, from texts to a stream of events, in batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from lmcli.engine.batches import by_length, check_fits, encode
from lmcli.engine.memory import memory_errors
from lmcli.engine.translation_codes import TranslationCodes
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Chunk, Done, Event, Prompt, SamplingParams, Usage

_BATCH_TOKENS = 2048  # of padded input; small enough that the first lines appear soon


class Clock:
    """Notes when the first token came."""

    def __init__(self) -> None:
        self._start, self._first = time.perf_counter(), 0.0

    def token(self) -> None:
        self._first = self._first or time.perf_counter()

    def usage(self, prompt_tokens: int, completion_tokens: int) -> Usage:
        now = time.perf_counter()
        first = self._first or now
        return Usage(prompt_tokens, 0, completion_tokens, first - self._start, now - first)


class Rewriter(Protocol):
    """An encoder-decoder that writes; `options` are the checkpoint's own, as transformers' `generate` names them."""

    options: dict[str, Any]
    longest_input: int  # tokens

    def write(
        self, batch: list[list[int]], options: dict[str, Any], params: SamplingParams, clock: Clock
    ) -> list[list[int]]:
        """What it writes for each input, from behind the start token to its end token or the limit.

        `options` go over its own. Beams and penalties are the checkpoint's; with a temperature `params` sample.
        """


class RewritingEngine:
    """protocols.Seq2SeqEngine over any Rewriter."""

    def __init__(self, checkpoint: Checkpoint, rewriter: Rewriter, tokenizer: Any, codes: TranslationCodes) -> None:
        self.checkpoint = checkpoint
        self.context_length = rewriter.longest_input - codes.prefix_length
        self.rewriter, self.tokenizer = rewriter, tokenizer
        self._codes = codes
        eos = rewriter.options["eos_token_id"]
        self._eos = set(eos) if isinstance(eos, list) else {eos}

    def count(self, prompt: Prompt) -> int:
        return len(encode(self.tokenizer, str(prompt))["input_ids"])

    def languages(self) -> tuple[str, ...]:
        return self._codes.languages

    def rewrite(
        self, texts: Sequence[str], params: SamplingParams, source: str | None = None, target: str | None = None
    ) -> Iterator[Event]:
        if params.grammar is not None:
            raise UsageError(
                f"{self.checkpoint.name} is an encoder-decoder, and only decoders can follow a schema",
                "choose a language model: lmcli list --all",
            )
        prefix, options = self._codes.select(source, target)
        inputs: list[list[int]] = [encode(self.tokenizer, text, prefix)["input_ids"] for text in texts]
        check_fits(max(map(len, inputs), default=0), self.rewriter.longest_input, self.checkpoint.name)
        return self._rewrite(inputs, params, options, translating=target is not None)

    def read_and_write(
        self, text: str, params: SamplingParams, source: str | None, target: str | None, given: Sequence[int] | None
    ) -> tuple[list[int], list[int]]:
        """The tokens of the encoder's input for `text` and of the decoder's: its start token and what it writes, less
        the end; that is `given`, or where that is None its own.

        Raises UsageError and InputTooLong as `rewrite` does.
        """
        if target is None and self._codes.asks_for_target:
            raise UsageError(f"{self.checkpoint.name} has to be told which language to write", "name it: --to zh")
        prefix, options = self._codes.select(source, target)
        inputs: list[int] = encode(self.tokenizer, text, prefix)["input_ids"]
        check_fits(len(inputs), self.rewriter.longest_input, self.checkpoint.name)
        own = self.rewriter.options | options
        if given is None:
            asked = options | self._limits(params, options, len(inputs), target is not None)
            with memory_errors(self.checkpoint):
                (answer,) = self.rewriter.write([inputs], asked, params, Clock())
            said = answer[:-1] if self._ended(answer) else answer
        else:
            forced = own.get("forced_bos_token_id")
            said = [*([] if forced is None else [forced]), *given]
        return inputs, [own["decoder_start_token_id"], *said]

    def _rewrite(
        self, inputs: list[list[int]], params: SamplingParams, asked: dict[str, Any], translating: bool
    ) -> Iterator[Event]:
        clock = Clock()
        outputs: dict[int, list[int]] = {}
        shown = 0
        for batch in by_length([len(tokens) for tokens in inputs], _BATCH_TOKENS):
            options = asked | self._limits(params, asked, len(inputs[batch[-1]]), translating)
            with memory_errors(self.checkpoint):
                written = self.rewriter.write([inputs[i] for i in batch], options, params, clock)
            outputs |= dict(zip(batch, written, strict=True))
            while shown in outputs:  # Chunks go out in the texts' own order.
                text = self.decode(outputs[shown], asked.get("forced_bos_token_id"))
                yield Chunk(text, cut=not self._ended(outputs[shown]))
                shown += 1
        whole = all(map(self._ended, outputs.values()))
        prompt, completion = (sum(map(len, sequences)) for sequences in (inputs, outputs.values()))
        yield Done("stop" if whole else "length", clock.usage(prompt, completion))

    def _ended(self, tokens: list[int]) -> bool:
        return bool(tokens) and tokens[-1] in self._eos

    def _limits(self, params: SamplingParams, asked: dict[str, Any], longest: int, translating: bool) -> dict[str, Any]:
        own = self.rewriter.options | asked
        if params.max_tokens:
            return {
                "max_new_tokens": params.max_tokens,
                "min_length": min(own.get("min_length") or 0, params.max_tokens),
            }
        if translating or not (own.get("max_length") or own.get("max_new_tokens")):
            # Checkpoints stop at 20 or 200 tokens, whatever the sentence: a translation must not be cut.
            return {"max_new_tokens": min(3 * longest + 32, self.rewriter.longest_input)}
        return {}

    def decode(self, tokens: list[int], language: int | None = None) -> str:
        """Their text; the token of the language at the beginning is none of it."""
        # Not every tokenizer counts the language at the beginning among its special tokens.
        said = tokens[1:] if tokens[:1] == [language] else tokens
        text: str = self.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()
