"""A vocabulary of word pieces fitted to texts: pieces that they do not use go, characters that it lacks come.

Little in a small encoder weighs as much as its embeddings, one for every piece of the vocabulary.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcli.checkpoints.checkpoint import WEIGHTS, read_config, weight_files
from lmcli.checkpoints.writing import copy_companions, new_folder
from lmcli.errors import CheckpointError, InputError, UsageError
from lmcli.training.alignment import translations
from lmcli.training.wordpiece import WordPiece

# Scripts without spaces: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_LEAST = 2  # times that a character must be met
_UNUSED = re.compile(r"\[unused\d+\]")  # BERT has a thousand of them
_EMBEDDINGS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class VocabularyPlan:
    """What becomes of a vocabulary: `size` pieces at most, None for all that the texts use, and whether the characters
    that it lacks are added.
    """

    size: int | None = None
    characters: bool = False


@dataclass(frozen=True)
class FittedVocabulary:
    """Before and after: the pieces, and of the texts the tokens and those of them that stand for something unknown.

    `aligned` of the added `characters` begin with the embeddings of their translations.
    """

    pieces: tuple[int, int]
    tokens: tuple[int, int]
    unknowns: tuple[int, int]
    characters: int
    aligned: int


def fit_vocabulary(
    source: Path, folder: Path, texts: Sequence[str], pairs: Sequence[tuple[str, str]], plan: VocabularyPlan
) -> FittedVocabulary:
    """Write to `folder` the checkpoint in `source` with a vocabulary that fits `texts`.

    What any word can be spelled with is kept always, of the rest what the texts use most. The second sentences of
    `pairs` are translations of the first into the language of the new pieces: what a new piece stands for in the
    first, the mean of that is its embedding. Without them it is drawn from a normal distribution like that of the
    others. Raises CheckpointError for a vocabulary of another kind, UsageError for a size that does not hold what
    must be kept, InputError without texts.
    """
    if not any(text.strip() for text in texts):
        raise InputError("there is no text to fit a vocabulary to", "name a file that has some")
    old = WordPiece.read(source)
    counts = old.counts(texts)
    characters = _new_characters(old, texts) if plan.characters else []
    kept = _kept(old, counts, None if plan.size is None else plan.size - len(characters))
    new = old.with_pieces([*kept, *characters])
    weights = _read_weights(source)
    standing = _standing_for(old, new, pairs, {new.ids[piece] for piece in (*characters, *_unspaced(kept))})
    rows = torch.tensor([old.ids[piece] for piece in kept])
    resized = {name: _resized(name, each, old.size, rows, new.size, standing) for name, each in weights.items()}
    with new_folder(folder, sum(each.nbytes for each in resized.values())) as part:
        copy_companions(source, part)
        new.write(part)
        config = _renumbered(read_config(source), old, new) | {"vocab_size": new.size}
        (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(resized, part / WEIGHTS, {"format": "pt"})
        (part / WEIGHTS).chmod(0o644)  # It is written for its owner alone.
    after = new.counts(texts)
    return FittedVocabulary(
        (old.size, new.size), (counts.total(), after.total()), (old.unknowns(counts), new.unknowns(after)),
        len(characters), sum(token >= len(kept) for token in standing),
    )  # fmt: skip


def _new_characters(old: WordPiece, texts: Sequence[str]) -> list[str]:
    """The characters that the vocabulary lacks, the most frequent first."""
    counts = Counter(character for text in texts for character in old.normalized(text) if not character.isspace())
    return [each for each, count in counts.most_common() if count >= _LEAST and each not in old.ids]


def _kept(old: WordPiece, counts: Counter[int], room: int | None) -> list[str]:
    """The pieces that stay, in their order: all that words are spelled with, and the most frequent of the others.

    Of two pieces that the texts have equally often, the lower number goes first: BERT's are numbered by frequency.
    """
    spelling = [piece for piece in old.ids if piece in old.special or _spells(piece, old, counts)]
    others = sorted(old.ids.keys() - set(spelling), key=lambda piece: (-counts[old.ids[piece]], old.ids[piece]))
    if room is None:
        others = [piece for piece in others if counts[old.ids[piece]]]
    elif room < len(spelling):
        least = f"{len(spelling):,} pieces that any text is spelled with, and those that are added"
        raise UsageError(f"the size does not hold the {least}", f"use a --size of {2 * len(spelling)} or more")
    else:
        others = [piece for piece in others if not _UNUSED.fullmatch(piece)][: room - len(spelling)]
    return sorted([*spelling, *others], key=old.ids.__getitem__)


def _spells(piece: str, old: WordPiece, counts: Counter[int]) -> bool:
    """Whether it is a character that is common everywhere, or one that the texts have."""
    bare = piece.removeprefix(old.prefix)
    return len(bare) == 1 and (bare.isascii() or counts[old.ids[piece]] > 0)


def _unspaced(pieces: Sequence[str]) -> list[str]:
    """The characters of scripts without spaces: a vocabulary of words has few of them, and hardly trained."""
    return [piece for piece in pieces if re.fullmatch(_UNSPACED, piece)]


def _standing_for(
    old: WordPiece, new: WordPiece, pairs: Sequence[tuple[str, str]], wanted: set[int]
) -> dict[int, tuple[Tensor, Tensor]]:
    """The new pieces that are `wanted`, by number: which old pieces each stands for, and in which shares."""
    firsts, seconds = old.encode([first for first, _ in pairs]), new.encode([second for _, second in pairs])
    tokens = [
        (first, [each for each in second if each in wanted]) for first, second in zip(firsts, seconds, strict=True)
    ]
    return {target: (found.tokens, found.shares.float()) for target, found in translations(tokens).items()}


def _resized(
    name: str, tensor: Tensor, before: int, rows: Tensor, after: int, standing: Mapping[int, tuple[Tensor, Tensor]]
) -> Tensor:
    """A tensor with a row for every piece has those of the pieces that are kept, and rows for the new ones."""
    if tensor.dim() == 0 or tensor.shape[0] != before or not _has_pieces(name):
        return tensor
    kept = tensor[rows]
    new = _drawn(kept.float(), after - len(rows)).to(tensor.dtype)
    resized = torch.cat([kept, new])
    if tensor.dim() == 2:
        centre = kept.float().mean(0)
        usual = (kept.float() - centre).norm(dim=1).mean()
        for target, (tokens, shares) in standing.items():
            away = shares @ tensor[tokens].float() - centre
            # The mean of several lies nearer the centre than each.
            resized[target] = (centre + away / away.norm() * usual).to(tensor.dtype)
    return resized.contiguous()


def _has_pieces(name: str) -> bool:
    """Whether it is an embedding, or part of a head that predicts pieces."""
    return name.endswith(_EMBEDDINGS) or any(part in name for part in ("predictions", "lm_head", "vocab_projector"))


def _drawn(kept: Tensor, count: int) -> Tensor:
    """So many rows like those that are kept: of the same mean and standard deviation in each column."""
    noise = torch.randn(count, *kept.shape[1:], generator=torch.Generator().manual_seed(0))
    return kept.mean(0) + kept.std(0) * noise


def _renumbered(config: dict[str, Any], old: WordPiece, new: WordPiece) -> dict[str, Any]:
    """The config with its special tokens' new numbers: pad_token_id and others."""
    pieces = {number: piece for piece, number in old.ids.items()}
    return {
        name: new.ids[pieces[value]] if name.endswith("_token_id") and value in pieces else value
        for name, value in config.items()
    }


def _read_weights(folder: Path) -> dict[str, Tensor]:
    weights = {name: each for file in weight_files(folder) for name, each in load_file(file).items()}
    if not any(name.endswith(_EMBEDDINGS) for name in weights):
        raise CheckpointError(f"{folder} is no encoder with word embeddings", "name one like BERT or MiniLM")
    return weights
