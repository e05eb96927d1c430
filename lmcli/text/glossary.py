"""Glossaries: terms whose translation is settled, read from a file of tab-separated lines and found in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lmcli.errors import InputError
from lmcli.text.segment import lines

Find = Callable[[str], Iterator[tuple[int, int, str]]]
_WORD = re.compile(r"[^\W_]")
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


@dataclass(frozen=True)
class Glossary:
    """Pairs of a source term and its target term."""

    terms: tuple[tuple[str, str], ...] = ()

    def finder(self) -> Find | None:
        """Finds the terms in a text: (start, end, target term) from left to right, the longest first.

        A term in small letters is found in any case, and its translation follows the case; one with a capital is found
        as it is written, or all in capitals. In scripts with spaces a term is whole words.
        """
        if not self.terms:
            return None
        known = {source.casefold(): (source, target) for source, target in self.terms}
        by_length = sorted((source for source, _ in self.terms), key=len, reverse=True)
        pattern = re.compile("|".join(map(_pattern, by_length)), re.IGNORECASE)

        def find(text: str) -> Iterator[tuple[int, int, str]]:
            place = 0
            while found := pattern.search(text, place):
                source, target = known[" ".join(found[0].split()).casefold()]
                said = _cased(found[0], source, target)
                place = found.end() if said is not None else found.start() + 1
                if said is not None:
                    yield found.start(), found.end(), said

        return find


def read_glossary(text: str, title: str) -> Glossary:
    """The terms of a file's text: a term, a tab, its translation; lines that begin with # are comments.

    Raises InputError, with the line's number, for a line that is none of these and a term that is given twice.
    """
    terms: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(lines(text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [" ".join(field.split()) for field in line.split("\t")]
        if len(fields) < 2 or not fields[0] or not fields[1]:
            raise InputError(f"{title}, line {number}: no term, tab and translation", "write: term<TAB>translation")
        source, target = fields[:2]
        _, before, first = terms.get(source.casefold(), (source, target, number))
        if before != target:
            raise InputError(
                f"{title}, line {number}: '{source}' is '{before}' in line {first}", "leave one of the two"
            )
        terms[source.casefold()] = (source, target, number)
    if not terms:
        raise InputError(f"{title} has no terms", "write lines: term<TAB>translation")
    return Glossary(tuple((source, target) for source, target, _ in terms.values()))


def _pattern(term: str) -> str:
    inner = r"\s+".join(map(re.escape, term.split()))
    first = r"(?<![^\W_])" if _WORD.match(term[0]) and not _DENSE.match(term[0]) else ""
    last = r"(?![^\W_])" if _WORD.match(term[-1]) and not _DENSE.match(term[-1]) else ""
    return first + inner + last


def _cased(found: str, source: str, target: str) -> str | None:
    """The target as the source stands in the text; None where the text means another word, as it does not IT."""
    plain = " ".join(found.split())
    if plain == source:
        return target
    if plain.isupper() and len(plain) > 1:
        return target.upper()
    if source != source.lower():
        return None
    return target[0].upper() + target[1:] if plain[0].isupper() else target
