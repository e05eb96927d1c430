"""Layout: a document as sentences to work on and all that stands around them, so that it can be put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lmcli.text import markup
from lmcli.text.markup import Span
from lmcli.text.segment import parts, sentences

Count = Callable[[str], int]


@dataclass(frozen=True)
class Block:
    """A stretch of a document on one line, or in one field of a format: kept as it is, or text to be translated.

    `line` is where it stands, from 1. A format that stores the text in another form has that form in `stored` and
    writes a translation with `store`; `escape` writes the translator's words so that they are no markup in it.
    """

    text: str
    translatable: bool = True
    line: int = 1
    stored: str | None = None
    store: Callable[[str], str] | None = None
    escape: Callable[[str], str] | None = None
    references: frozenset[str] = frozenset()

    @property
    def original(self) -> str:
        return self.text if self.stored is None else self.stored


@dataclass(frozen=True)
class Segment:
    """A sentence, or what needs no translation, and the whitespace after it.

    `ends_line` keeps that whitespace as it is; between sentences it follows the target's habit. `last` is the last
    segment of `block`.
    """

    spans: tuple[Span, ...]
    gap: str
    block: Block
    translatable: bool = False
    ends_line: bool = True
    last: bool = True

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def segments(blocks: Iterable[Block], limit: int, count: Count) -> Iterator[Segment]:
    """The blocks in segments of at most `limit` tokens; joined, their texts and gaps are the blocks' texts."""
    for block in blocks:
        if block.translatable and any(c.isalpha() for c in block.text):
            yield from _of_block(block, limit, count)
        else:
            yield Segment((Span(block.text, "mark"),) if block.text else (), "", block)


def written(segments: Iterable[tuple[Segment, str | None]], spaced_source: bool, spaced_target: bool) -> Iterator[str]:
    """What stands in the translated document for each segment, given with its translation, or None.

    Lines stay as they were. A space between sentences follows the habit of the target language.
    """
    field = ""
    for segment, answer in segments:
        block, gap = segment.block, segment.gap
        if answer is not None and not segment.ends_line:
            # 你好。再见。 has no space to keep, and Hello. Goodbye. one that Chinese does without.
            gap = (gap or " ") if spaced_target else "" if spaced_source and gap == " " else gap
        text = (segment.text if answer is None else answer) + gap
        if not block.store:
            yield text if block.stored is None else block.stored
            continue
        field += text
        if segment.last:
            yield block.original if field == block.text else block.store(field)
            field = ""


def _of_block(block: Block, limit: int, count: Count) -> Iterator[Segment]:
    lead, body, tail = trimmed(block.text)
    found = markup.spans(body, block.references)
    pieces = [
        piece
        for line in _lines(markup.hidden(found))
        for sentence in sentences(line)
        for piece in _fitting(sentence, limit, count)
    ]
    groups = markup.cut(found, _ends(pieces))
    if lead:
        yield Segment((), lead, block, last=False)
    for n, group in enumerate(groups):
        after = _space_after(group)
        last = n == len(groups) - 1
        core = _without(group, after)
        yield Segment(
            core, after + tail if last else after, block,
            translatable=any(c.isalpha() for c in markup.words(core)),
            ends_line=last or "\n" in after or "\r" in after, last=last,
        )  # fmt: skip


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True) if "\n" in text else [text]


def _ends(pieces: Sequence[str]) -> Iterator[int]:
    place = 0
    for piece in pieces[:-1]:
        place += len(piece)
        yield place


def _space_after(group: Sequence[Span]) -> str:
    text = group[-1].text
    return text[len(text.rstrip()) :] if group[-1].role == "words" else ""


def _without(group: Sequence[Span], after: str) -> tuple[Span, ...]:
    if not after:
        return tuple(group)
    rest = group[-1].text[: -len(after)]
    return (*group[:-1], *([Span(rest)] if rest else []))


def _fitting(sentence: str, limit: int, count: Count) -> list[str]:
    # Even byte by byte a character has four tokens at most: most sentences need not be counted.
    if 4 * len(sentence) <= limit or count(sentence) <= limit:
        return [sentence]
    return parts(sentence, limit, count)


def trimmed(text: str) -> tuple[str, str, str]:
    """The whitespace before, the text, the whitespace after."""
    core = text.strip()
    start = len(text) - len(text.lstrip())
    return text[:start], core, text[start + len(core) :]
