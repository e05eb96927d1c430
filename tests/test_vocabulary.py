"""`lmcli tokenizer fit`: an encoder with fewer word pieces computes the same, and new ones mean their translations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_translators as encoders
import torch
import transformers
from safetensors.torch import load_file
from scripted import invoke

from lmcli.engine import load
from lmcli.errors import CheckpointError, InputError, UsageError
from lmcli.training.alignment import translations
from lmcli.training.vocabulary import VocabularyPlan, fit_vocabulary
from lmcli.training.wordpiece import WordPiece
from lmcli.types import LoadOptions

NAMES = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}
ENGLISH = ["the cat sat on the mat", "the cat"]
PAIRS = [
    ("the cat sat", "猫坐着"),
    ("the cat", "猫"),
    ("on the mat", "在垫子上"),
    ("the mat", "垫子"),
    ("mat", "垫子"),
] * 3
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    encoders.bert(folder, **NAMES)
    return folder


def probabilities(folder: Path, text: str) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1)
    return found


def pieces(folder: Path, text: str) -> list[str]:
    found: list[str] = transformers.AutoTokenizer.from_pretrained(folder).tokenize(text)
    return found


def embedding(folder: Path, piece: str) -> torch.Tensor:
    return load_file(folder / "model.safetensors")[EMBEDDINGS][WordPiece.read(folder).ids[piece]]


def test_texts_of_kept_pieces_are_classified_as_before(source: Path, tmp_path: Path) -> None:
    fitted = fit_vocabulary(source, tmp_path / "small", ENGLISH, [], VocabularyPlan())
    assert fitted.pieces[1] < fitted.pieces[0]
    assert fitted.tokens[0] == fitted.tokens[1]
    for text in ENGLISH:
        assert torch.allclose(probabilities(source, text), probabilities(tmp_path / "small", text), atol=1e-6)


def test_a_word_that_lost_its_piece_is_spelled(source: Path, tmp_path: Path) -> None:
    fit_vocabulary(source, tmp_path / "small", ["the cat"], [], VocabularyPlan())
    word = next(piece for piece in WordPiece.read(source).ids if len(piece) > 3 and piece.isalpha() and piece != "the")
    assert pieces(source, word) == [word]
    assert pieces(tmp_path / "small", word) == [word[0], *(f"##{each}" for each in word[1:])]


def test_the_size_holds_the_most_frequent_pieces(source: Path, tmp_path: Path) -> None:
    texts = ["cat", "cat mat", "cat mat"]
    spelling = fit_vocabulary(source, tmp_path / "all", ["c a t m"], [], VocabularyPlan()).pieces[1]
    fitted = fit_vocabulary(source, tmp_path / "one", texts, [], VocabularyPlan(size=spelling + 1))
    assert fitted.pieces[1] == spelling + 1
    assert pieces(tmp_path / "one", "cat mat") == ["cat", "m", "##a", "##t"]


def test_characters_are_added(source: Path, tmp_path: Path) -> None:
    chinese = ["我喜欢这部电影。", "我不喜欢这本书。"] * 2
    fitted = fit_vocabulary(source, tmp_path / "new", [*ENGLISH, *chinese], [], VocabularyPlan(None, True))
    assert fitted.unknowns[0] > 0
    assert fitted.unknowns[1] == 0
    assert fitted.characters > 0
    assert pieces(tmp_path / "new", "The cat喜欢电影") == ["the", "cat", *"喜欢电影"]
    # The rows that are kept are the same, and the texts that have no new piece give the same.
    assert torch.allclose(probabilities(source, ENGLISH[0]), probabilities(tmp_path / "new", ENGLISH[0]), atol=1e-6)


def test_our_engine_and_transformers_part_a_text_alike(source: Path, tmp_path: Path) -> None:
    fit_vocabulary(source, tmp_path / "new", [*ENGLISH, *["我喜欢这部电影。"] * 2], [], VocabularyPlan(None, True))
    engine: Any = load(_checkpoint(tmp_path / "new"), LoadOptions())
    theirs = probabilities(tmp_path / "new", "the cat 喜欢电影")[0]
    ours = engine.classify(["the cat 喜欢电影"])[0]
    assert [ours["negative"], ours["positive"]] == pytest.approx(theirs.tolist(), abs=1e-3)


def test_a_new_piece_begins_as_what_it_translates(source: Path, tmp_path: Path) -> None:
    both = [text for pair in PAIRS for text in pair]
    fitted = fit_vocabulary(source, tmp_path / "new", both, PAIRS, VocabularyPlan(None, True))
    assert fitted.aligned > 0
    cat, mat, found = (embedding(tmp_path / "new", piece) for piece in ("cat", "mat", "猫"))
    assert torch.cosine_similarity(found, cat, 0) > torch.cosine_similarity(found, mat, 0) + 0.3


def test_alignment_finds_which_token_is_which() -> None:
    pairs = [([1, 2], [11, 12]), ([1, 3], [11, 13]), ([2, 3], [12, 13]), ([1], [11])] * 2
    found = translations(pairs)
    assert [found[token].tokens[0].item() for token in (11, 12, 13)] == [1, 2, 3]
    assert all(each.shares.sum().item() == pytest.approx(1) for each in found.values())


def test_the_command_tells_before_and_after(source: Path, tmp_path: Path) -> None:
    texts, pairs = tmp_path / "texts.csv", tmp_path / "pairs.tsv"
    texts.write_text("text\n" + "\n".join(ENGLISH), encoding="utf-8")
    pairs.write_text("en\tzh\n" + "".join(f"{en}\t{zh}\n" for en, zh in PAIRS), encoding="utf-8")
    arguments = ["tokenizer", "fit", str(source), str(texts), "-o", str(tmp_path / "new"), "--add-characters"]
    result = invoke(*arguments, "--pairs", str(pairs), "--json")
    assert result.code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["pieces"][1] == WordPiece.read(tmp_path / "new").size
    assert found["unknowns"][0] > found["unknowns"][1] == 0
    assert found["aligned"] > 0
    again = invoke(*arguments)
    assert again.code == 2
    assert "--force" in again.stderr


def test_what_cannot_be_fitted_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the size does not hold"):
        fit_vocabulary(source, tmp_path / "new", ENGLISH, [], VocabularyPlan(size=10))
    with pytest.raises(InputError, match="no text"):
        fit_vocabulary(source, tmp_path / "new", [" "], [], VocabularyPlan())
    roberta = tmp_path / "roberta"
    roberta.mkdir()
    encoders.roberta(roberta, **NAMES)
    with pytest.raises(CheckpointError, match="word pieces"):
        fit_vocabulary(roberta, tmp_path / "new", ENGLISH, [], VocabularyPlan())
    assert not (tmp_path / "new").exists()


def _checkpoint(folder: Path) -> Any:
    from lmcli.checkpoints.checkpoint import read

    return read(folder, folder.name)
