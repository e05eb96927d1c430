"""Prompts kept on disk: keys and values that were prefilled once, for the next process whose prompt begins alike.

They are kept in blocks, each under a name that follows from all tokens up to its end, as in vLLM's prefix caching
(Kwon et al. 2023, arXiv:2309.06180): prompts that begin alike share their first blocks, and nothing is kept twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lmcli import __version__
from lmcli.checkpoints.fingerprint import fingerprint
from lmcli.engine.prefix_folder import PrefixFolder
from lmcli.errors import CheckpointError
from lmcli.types import Notice

# Tokens, as many as one pass of prefill takes: what follows the blocks found is then computed in the very passes in
# which it would be without them, and bf16 rounds it alike. Elsewhere cut, the logits differ by some thousandths, which
# turns near ties.
BLOCK = 512
_FORMAT = 1  # Another number where a decoder's keys and values, or their place in a file, become others.


class Keeping(Protocol):
    """A decoder whose cache can be written down."""

    tokens: list[int]

    def rewind(self, length: int) -> int:
        """See generation.Decoder."""

    def held(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """The keys and values of tokens `start` to `end`, (L, 1, KV, end - start, D) each."""

    def extend(self, tokens: Sequence[int], keys: Tensor, values: Tensor) -> None:
        """Take `tokens` behind those in the cache. Raises ValueError for keys and values of another shape."""


@dataclass(frozen=True)
class Identity:
    """What keys and values depend on beside the tokens: a checkpoint as it was, and how it is computed."""

    path: Path
    fingerprint: str
    computing: str

    @staticmethod
    def of(path: Path, computing: str) -> Identity:
        """That of the checkpoint in `path` now; `computing` names device, precision and bits."""
        return Identity(path, fingerprint(path), computing)

    def holds(self) -> bool:
        """Whether the checkpoint is still the same."""
        try:
            return fingerprint(self.path) == self.fingerprint
        except (OSError, CheckpointError):
            return False


class PrefixStore:
    """Puts into `decoder` the blocks on disk that a prompt begins with, and keeps those it prefilled itself."""

    def __init__(self, folder: PrefixFolder, identity: Identity, decoder: Keeping) -> None:
        """`identity` is from before the weights were read, so that it cannot be a later one than theirs."""
        self._folder = folder
        self._identity = identity
        self._decoder = decoder
        # As many of the decoder's first tokens were prefilled in whole blocks. An answer is decoded, and what follows
        # it in a chat is prefilled from amid a block: near enough to go on from, but not the same to the bit.
        self._exact = 0

    def resume(self, tokens: Sequence[int], held: int) -> int:
        """Make ready to prefill `tokens`, of which the decoder has the first `held`; how many it has then.

        Blocks on disk are added. Where there are none the decoder goes back to the last whole block, if by that a new
        one is prefilled whole: at most some hundred tokens are computed twice, once a block.
        """
        exact, whole = min(self._exact, held) // BLOCK, len(tokens) // BLOCK
        self._exact = exact * BLOCK
        if whole <= exact or not self._identity.holds():
            return held
        keys, files = self._keys(tokens), self._folder.files()
        self._exact = whole * BLOCK  # as far as prefill comes
        held = self._decoder.rewind(exact * BLOCK)
        for key in keys[exact : (len(tokens) - 1) // BLOCK]:
            if key not in files or not self._read(files[key], tokens[held : held + BLOCK]):
                break
            held += BLOCK
        # The first block last: without it the others are of no use, so it must not be the first to go.
        for key in reversed(keys[: held // BLOCK]):
            if key in files:
                self._folder.touch(files[key])
        return held

    def keep(self, tokens: list[int]) -> Iterator[Notice]:
        """Write down the whole blocks of `tokens`, which the decoder holds, that are not on disk yet; why, where they
        cannot be."""
        count = min(self._exact, len(tokens)) // BLOCK
        if not count or self._decoder.tokens[: len(tokens)] != tokens or not self._identity.holds():
            return
        keys, files = self._keys(tokens), self._folder.files()
        try:
            for i in reversed(range(count)):
                if keys[i] not in files:
                    self._write(keys[i], i * BLOCK)
        except (OSError, SafetensorError) as error:  # safetensors tells of a full disk in words of its own
            yield Notice(f"the prompt was not kept: {error}", verbose=True)

    def _keys(self, tokens: Sequence[int]) -> list[str]:
        """The name of each whole block of `tokens`."""
        keys = [repr((_FORMAT, __version__, self._identity.fingerprint, self._identity.computing))]
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            block = repr((keys[-1], *tokens[end - BLOCK : end]))
            keys.append(hashlib.sha256(block.encode()).hexdigest()[:40])
        return keys[1:]

    def _read(self, file: Path, tokens: Sequence[int]) -> bool:
        """Whether the block in `file` could be put into the decoder; if it is damaged it is removed."""
        try:
            if self._folder.is_whole(file):
                with safe_open(file, framework="pt") as opened:
                    self._decoder.extend(tokens, opened.get_tensor("keys"), opened.get_tensor("values"))
                return True
        except FileNotFoundError:  # another process made room
            return False
        except (OSError, SafetensorError, ValueError):
            pass
        self._folder.discard(file)
        return False

    def _write(self, key: str, start: int) -> None:
        keys, values = map(_shortest, self._decoder.held(start, start + BLOCK))
        self._folder.add(
            key, keys.nbytes + values.nbytes, lambda file: save_file({"keys": keys, "values": values}, file)
        )


def _shortest(tensor: Tensor) -> Tensor:
    """`tensor` on the CPU, in bf16 where that loses nothing: as with values that a bf16 product gave."""
    tensor = tensor.cpu().contiguous()
    short = tensor.bfloat16()
    return short if torch.equal(short.to(tensor.dtype), tensor) else tensor
