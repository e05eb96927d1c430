"""Drafting: a small decoder guesses what a larger one will say, which checks the guesses in one pass.

Speculative decoding (Leviathan et al. 2023, arXiv:2211.17192; Chen et al. 2023, arXiv:2302.01318) with a draft that is
greedy: it proposes its likeliest tokens, and a guess counts where the larger decoder's own sampler chooses the same. A
draft that were sampled, too, would be right more often at high temperatures. But then the same seed would draw another
answer than without a draft, which this one never does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import tokenizers

from lmcli.engine import torch_engine
from lmcli.engine.config import DecoderConfig, NotUnderstood
from lmcli.engine.device import place
from lmcli.engine.generation import Decoder, GenerationEngine, shared_prefix
from lmcli.engine.memory import memory_errors
from lmcli.engine.prefix_store import BLOCK
from lmcli.engine.speculation import DraftPace
from lmcli.engine.torch_engine import TorchDecoder, load_decoder
from lmcli.errors import UsageError
from lmcli.types import Checkpoint, Event, LoadOptions, Notice


class Draft:
    """speculation.Drafter over a decoder of its own, whose cache follows the text from answer to answer."""

    def __init__(self, decoder: Decoder, vocabulary: tuple[int, int], pace: DraftPace) -> None:
        """`vocabulary` is how many rows the embeddings of the draft and of the larger decoder have."""
        self.decoder = decoder
        self.pace = pace
        self._known, self._shared = vocabulary[0], min(vocabulary)

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        most = min(most, self.decoder.context_length - len(tokens))
        length = min(most, self.pace.length()) if most > 0 else 0
        return self._continue(tokens, length) if length else []

    def prepare(self) -> None:
        self.decoder.prepare()

    def learn(self, guessed: int, right: int) -> None:
        self.pace.learn(guessed, right)

    def _continue(self, tokens: Sequence[int], length: int) -> list[int]:
        """The draft's `length` likeliest tokens after `tokens`, one after another; none where it cannot read them."""
        kept = min(shared_prefix(self.decoder.tokens, tokens), len(tokens) - 1)
        kept = self.decoder.rewind(kept)
        if max(tokens[kept:]) >= self._known:  # A row that only pads the larger embedding.
            return []
        for first in range(kept, len(tokens), BLOCK):  # Between blocks Ctrl-C is heard.
            logits = self.decoder.forward(tokens[first : first + BLOCK])
        guess = [int(logits[-1, : self._shared].argmax())]
        while len(guess) < length:
            guess.append(int(self.decoder.forward(guess[-1:])[-1, : self._shared].argmax()))
        return guess


def open_draft(
    engine: GenerationEngine, config: DecoderConfig, checkpoint: Checkpoint, options: LoadOptions,
    report: Callable[[Event], None],
) -> Draft:  # fmt: skip
    """`checkpoint` as the draft of `engine`, whose decoder has `config`; it runs by the same options.

    Raises UsageError where the engine cannot check guesses, the draft is none of our decoders, or their vocabularies
    differ.
    """
    main, decoder = engine.checkpoint, engine.decoder
    if not (isinstance(decoder, TorchDecoder) and decoder.verifies):
        raise UsageError(f"{main.name} cannot check several tokens in one pass, as a draft needs it", _WITHOUT)
    own = _understand(checkpoint)
    _compare_vocabularies(checkpoint, main)
    with memory_errors(checkpoint):
        placement = place(checkpoint, replace(options, draft=None), report)
        drafting = TorchDecoder(load_decoder(checkpoint, own, placement), placement)
    size = drafting.weight_bytes / decoder.weight_bytes
    if size >= 1:
        report(Notice(f"{checkpoint.name} is no smaller than {main.name}: as its draft it saves no time"))
    return Draft(drafting, (own.vocab_size, config.vocab_size), DraftPace(_PASS * size))


_WITHOUT = "leave out --draft"
_PASS = 1.2  # A pass is not weights alone: measured were 0.34 for 0.27 of the bytes, 0.70 for 0.61.


def _understand(checkpoint: Checkpoint) -> DecoderConfig:
    if checkpoint.kind != "causal":
        raise UsageError(f"{checkpoint.name} is no decoder, and a draft has to be one", _WITHOUT)
    try:
        return torch_engine.understand(checkpoint)
    except NotUnderstood as reason:
        text = f"{checkpoint.name} cannot be a draft: our engine does not know {reason}"
        raise UsageError(text, "choose another draft, or leave it out") from reason


def _compare_vocabularies(draft: Checkpoint, main: Checkpoint) -> None:
    """Raises UsageError unless both have the same tokens by the same ids."""
    if _file(draft).read_bytes() == _file(main).read_bytes():
        return
    drafts, mains = ({id_: token for token, id_ in _vocabulary(side).items()} for side in (draft, main))
    apart = min((i for i in drafts.keys() | mains.keys() if drafts.get(i) != mains.get(i)), default=None)
    if apart is not None:
        raise UsageError(
            f"{draft.name} cannot draft for {main.name}: token {apart} is {_quoted(drafts.get(apart))} in the one and "
            f"{_quoted(mains.get(apart))} in the other",
            "choose a smaller checkpoint of the same family as the draft, or leave it out",
        )


def _file(checkpoint: Checkpoint) -> Path:
    return checkpoint.path / "tokenizer.json"


def _vocabulary(checkpoint: Checkpoint) -> dict[str, int]:
    return tokenizers.Tokenizer.from_file(str(_file(checkpoint))).get_vocab(with_added_tokens=True)


def _quoted(token: str | None) -> str:
    return "none" if token is None else f"'{token}'"
