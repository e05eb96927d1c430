"""Make the translation starter's training files: clean the parallel texts of a data folder and part them.

    python translation_data.py DATA OUT

DATA holds NAME_train.tsv.gz of tatoeba, msdocs_human, pythondocs and tensorflowdocs, each
with the columns en and zh. OUT gets everyday.tsv, validation.tsv, technical.tsv and vocabulary.tsv.
"""

from __future__ import annotations

import gzip
import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

Pair = tuple[str, str]  # English, Chinese

EVERYDAY = "tatoeba"
TECHNICAL = {"msdocs_human": 60_000, "pythondocs": 20_000, "tensorflowdocs": 6_000}  # and pairs for the vocabulary
HELD_OUT = 400
LONGEST = (120, 60)  # characters of English and of Chinese: two cores learn little from long sentences in the time
_HAN = re.compile(r"[㐀-鿿]")
_WORD = re.compile(r"[A-Za-z]+")
_MARKUP = ("`", "**", "](", "{{", "&nbsp", "<a", "::")
_FULL_WIDTH = {",": "，", "?": "？", "!": "！", ";": "；", ":": "："}


def main(data: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    chance = random.Random(7)
    everyday = [(en, full_width(zh)) for en, zh in read(data, EVERYDAY)]
    chance.shuffle(everyday)
    held_out = everyday[:HELD_OUT]
    known = {text.casefold() for pair in held_out for text in pair}
    trained = [pair for pair in everyday[HELD_OUT:] if not known & {text.casefold() for text in pair}]
    vocabulary = everyday * 4
    technical: list[Pair] = []
    for name, of_any_length in TECHNICAL.items():
        pairs = list(read(data, name))
        vocabulary += chance.sample(pairs, min(of_any_length, len(pairs)))
        technical += [pair for pair in pairs if is_short_sentence(*pair)]
    files = {"everyday": trained, "validation": held_out, "technical": technical, "vocabulary": vocabulary}
    for name, pairs in files.items():
        write(out / f"{name}.tsv", pairs)


def read(data: Path, name: str) -> Iterator[Pair]:
    """The clean pairs of a set, each once."""
    seen: set[Pair] = set()
    with gzip.open(data / f"{name}_train.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        header = next(file).rstrip("\n").split("\t")
        columns = header.index("en"), header.index("zh")
        for line in file:
            cells = line.rstrip("\n").split("\t")
            en, zh = (" ".join(cells[column].split()) for column in columns)
            if is_clean(en, zh) and (en.casefold(), zh) not in seen:
                seen.add((en.casefold(), zh))
                yield en, zh


def is_clean(en: str, zh: str) -> bool:
    """Whether both are prose in their own script, free of markup, and of a length that fits the other's."""
    han = len(_HAN.findall(zh))
    if not han or not _WORD.search(en) or _HAN.search(en) or any(mark in en + zh for mark in _MARKUP):
        return False
    if len(en) > 400 or len(zh) > 200 or han < 0.35 * len(zh.replace(" ", "")):
        return False
    # Names that stay as they are say nothing about how long a translation is.
    kept = sum(character.isascii() and character.isalpha() for character in zh)
    return han <= 8 or 1.2 <= (len(en) - kept) / len(zh) <= 7.5


def is_short_sentence(en: str, zh: str) -> bool:
    return len(en.split()) >= 3 and len(en) <= LONGEST[0] and len(zh) <= LONGEST[1] and '"' not in en + zh


def full_width(zh: str) -> str:
    """Chinese punctuation where volunteers typed that of an English keyboard."""
    zh = re.sub(r"(?<=[㐀-鿿”’》）])\s*([,?!;:])\s*(?=[㐀-鿿“‘《（]|$)", lambda found: _FULL_WIDTH[found[1]], zh)
    return re.sub(r"(?<=[㐀-鿿])\s*\.$", "。", zh)


def write(file: Path, pairs: Sequence[Pair]) -> None:
    rows = "".join(f"{en}\t{zh}\n" for en, zh in pairs)
    file.write_text(f"en\tzh\n{rows}", encoding="utf-8")
    print(f"{file}: {len(pairs):,} pairs")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
