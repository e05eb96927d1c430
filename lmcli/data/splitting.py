"""Splitting: a part of the examples is kept for validation, always the same one for a seed."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from lmcli.data.examples import Example

LARGEST = 2000  # validation examples by default
SHARE = 0.1  # by default, of fewer examples than that
_DOCUMENTS = 20  # texts from which some are kept whole, rather than the end of each

Parts = tuple[list[Example], list[Example]]


def split(examples: Sequence[Example], share_or_count: float | None = None, seed: int = 0) -> Parts:
    """Part `examples` into those to train on and those to validate by, each in its order.

    A number below 1 is a share, from 1 on a count; the default is a tenth, at most 2,000. What has the same text stays
    on one side, and so do the two directions of a translation. Each label has its share. Of few plain texts the end of
    each is kept.
    """
    plain = [example for example in examples if not example.answer and not example.messages]
    if len(plain) == len(examples) < _DOCUMENTS:
        return _split_ends(examples, _share(sum(len(example.text) for example in examples), share_or_count))
    groups: dict[str, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(list))
    labels: dict[bytes, str] = {}
    classes = _are_classes(examples)
    for index, example in enumerate(examples):
        key = _key(example, seed)
        # A text with two labels counts for its first, so that it is not parted.
        groups[labels.setdefault(key, example.answer if classes else "")][key].append(index)
    kept = _kept(groups, round(_share(len(examples), share_or_count) * len(examples)))
    train = [example for index, example in enumerate(examples) if index not in kept]
    return train, [examples[index] for index in sorted(kept)]


def same_text(text: str) -> str:
    """A text without case and the width of its spaces: what two texts that say the same word for word share."""
    return " ".join(text.split()).casefold()


def _share(total: int, share_or_count: float | None) -> float:
    if not total:
        return 0.0
    if share_or_count is None:
        return min(SHARE, LARGEST / total)
    return share_or_count if share_or_count < 1 else min(share_or_count / total, 1.0)


def _are_classes(examples: Sequence[Example]) -> bool:
    """Whether the answers are labels: they come again and again, and none is a text of its own."""
    if any(example.references or example.languages for example in examples):
        return False
    return 2 * len({example.answer for example in examples}) <= len(examples)


def _key(example: Example, seed: int) -> bytes:
    return blake2b(f"{seed} {same_text(identity(example))}".encode(), digest_size=12).digest()


def identity(example: Example) -> str:
    """What must not be on both sides: the text, or of a chat all that is said before the first answer."""
    if example.messages:
        first = next((n for n, said in enumerate(example.messages) if said.role == "assistant"), len(example.messages))
        return "\n".join(said.content for said in example.messages[:first])
    if example.languages and example.languages[0] > example.languages[1]:
        return example.answer  # Of a pair in two directions it is the same side.
    return example.text


def _kept(groups: Mapping[str, Mapping[bytes, list[int]]], count: int) -> set[int]:
    """The indices of `count` examples, or of a few less, from all labels in proportion."""
    total = sum(len(indices) for group in groups.values() for indices in group.values())
    kept: set[int] = set()
    for label, quota in _quotas({label: _size(group) for label, group in groups.items()}, count, total).items():
        room = quota
        for key in sorted(groups[label])[1:]:  # One is left to learn from.
            indices = groups[label][key]
            if len(indices) <= room:
                kept.update(indices)
                room -= len(indices)
            if not room:
                break
    return kept


def _size(group: Mapping[bytes, list[int]]) -> int:
    return sum(map(len, group.values()))


def _quotas(sizes: Mapping[str, int], count: int, total: int) -> dict[str, int]:
    """How many of each label; what rounding down leaves goes to those that it took the most of."""
    exact = {label: size * count / max(total, 1) for label, size in sizes.items()}
    quotas = {label: math.floor(share) for label, share in exact.items()}
    for label in sorted(exact, key=lambda label: (quotas[label] - exact[label], label))[: count - sum(quotas.values())]:
        quotas[label] += 1
    return quotas


def _split_ends(texts: Iterable[Example], share: float) -> Parts:
    """Each text parted where a paragraph, else a line, begins nearest to the last `share` of it."""
    train, validation = [], []
    for example in texts:
        cut = _cut(example.text, round(len(example.text) * (1 - share)))
        train.append(replace(example, text=example.text[:cut]))
        place = replace(example.place, line=example.place.line + example.text.count("\n", 0, cut))
        validation.append(replace(example, text=example.text[cut:], place=place))
    return [one for one in train if one.text.strip()], [one for one in validation if one.text.strip()]


def _cut(text: str, wanted: int) -> int:
    for boundary in (r"\n\s*\n", r"\n", r"\s"):
        starts = [found.end() for found in re.finditer(boundary, text)]
        inner = [start for start in starts if 0 < start < len(text)]
        if inner:
            return min(inner, key=lambda start: abs(start - wanted))
    return wanted
