"""`lmcli tokenizer train`: vocabularies that spell every text, loaded alike by transformers and by our engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from scripted import invoke
from tiny_translators import LINES

from lmcli.checkpoints.checkpoint import read
from lmcli.engine import load
from lmcli.training.tokenizer import TokenizerPlan, train_tokenizer, write_tokenizer
from lmcli.types import LoadOptions, SamplingParams

# Nothing of it is in the lines it is learned from, the last but one is Chinese that few fonts have.
STRANGE = ["Ÿ naïve 😀", "κόσμος", "龘", "tab\tand  two spaces\nand a line"]
PAIRS = [("I read a book.", "我读一本书。"), ("The cat sleeps.", "猫在睡觉。"), ("Good morning!", "早上好！")]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "lines.txt"
    file.write_text("\n".join(LINES * 3), encoding="utf-8")
    return file


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.tsv"
    file.write_text("en\tzh\n" + "".join(f"{en}\t{zh}\n" for en, zh in PAIRS * 9), encoding="utf-8")
    return file


@pytest.mark.parametrize("method", ["bpe", "unigram"])
@pytest.mark.parametrize("use", ["causal", "masked"])
def test_what_the_vocabulary_lacks_is_spelled_in_bytes(method: str, use: str, text: Path, tmp_path: Path) -> None:
    result = invoke(
        *["tokenizer", "train", str(text), "-o", str(tmp_path / "t"), "--model", method, "--for", use, "--size", "600"]
    )
    assert result.code == 0, result.stderr
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t")
    unknown = tokenizer.unk_token_id if method == "unigram" else -1
    for line in (*LINES, *STRANGE):
        ids = tokenizer(line)["input_ids"]
        assert unknown not in ids
        back = tokenizer.decode(ids, skip_special_tokens=True)
        kept = line if method == "bpe" or use == "causal" else " ".join(line.split())
        assert back == kept


def test_a_use_has_its_own_special_tokens(text: Path, tmp_path: Path) -> None:
    for use, begin, end in (("causal", "<s>", ""), ("masked", "[CLS]", "[SEP]")):
        invoke(*["tokenizer", "train", str(text), "-o", str(tmp_path / use), "--for", use, "--size", "400"])
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / use)
        assert tokenizer.decode(tokenizer("cat")["input_ids"]).replace(" ", "") == f"{begin}cat{end}"
        assert tokenizer.pad_token
    assert tokenizer.mask_token == "[MASK]"
    assert tokenizer.decode(tokenizer("cat", "dog")["input_ids"]).replace(" ", "") == "[CLS]cat[SEP]dog[SEP]"


def test_a_translators_tokenizer_has_a_mark_for_each_language(pairs: Path, tmp_path: Path) -> None:
    result = invoke(
        *["tokenizer", "train", str(pairs), "-o", str(tmp_path / "t"), "--model", "unigram", "--size", "360", "--json",
         "--for", "translate", "--languages", "en,zh"]
    )  # fmt: skip
    told = json.loads(result.stdout)
    assert told["size"] == len(transformers.AutoTokenizer.from_pretrained(tmp_path / "t"))
    assert told["tokens_per_character"].keys() == {"en", "zh"}
    assert told["unknowns"] == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(">>zh<< I read.")["input_ids"])
    assert tokens[0] == ">>zh<<"
    assert tokens[-1] == "</s>"
    # A word is the same piece behind a mark as at the beginning.
    assert tokens[1:-1] == tokenizer.tokenize("I read.")
    assert tokenizer.decode(tokenizer("我读 .NET 书，！")["input_ids"], skip_special_tokens=True) == "我读 .NET 书，！"


@pytest.mark.parametrize("method", ["bpe", "unigram"])
def test_chinese_characters_stand_alone_where_they_are_told_to(method: str, pairs: Path, tmp_path: Path) -> None:
    lengths = {}
    for flags in ([], ["--characters"]):
        result = invoke(
            *[
                "tokenizer",
                "train",
                str(pairs),
                "-o",
                str(tmp_path / "t"),
                "--model",
                method,
                "--size",
                "400",
                "--force",
            ],
            *["--for", "translate", "--languages", "en,zh", *flags],
        )
        assert result.code == 0, result.stderr
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t")
        for source in (">>en<< 我读一本书。", ">>en<<我读一本书。"):
            ids = tokenizer(source)["input_ids"]
            assert tokenizer.decode(ids, skip_special_tokens=True) == "我读一本书。"
            lengths[bool(flags)] = len(ids) - 2
    assert lengths[True] == len("我读一本书。")
    if method == "bpe":  # Unigram finds no phrase in so few sentences.
        assert lengths[False] < lengths[True]


def test_columns_are_learned_from_by_name(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"a": "aaaa bbbb", "b": "zzzz", "c": "qqqq"}) + "\n" for _ in range(9)))
    result = invoke(
        *["tokenizer", "train", str(file), "-o", str(tmp_path / "t"), "--field", "a", "--field", "b", "--size", "280"]
    )
    assert result.code == 0, result.stderr
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "t")
    lengths = {word: len(tokenizer.tokenize(word)) for word in ("aaaa", "zzzz", "qqqq")}
    assert lengths == {"aaaa": 1, "zzzz": 1, "qqqq": 4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "200"], "does not hold the"),
        (["--for", "translate"], "must know its languages"),
        (["--languages", "en,xx", "--for", "translate"], "xx"),
    ],
)
def test_what_cannot_be_learned_is_refused(arguments: list[str], said: str, text: Path, tmp_path: Path) -> None:
    result = invoke(*["tokenizer", "train", str(text), "-o", str(tmp_path / "t"), *arguments])
    assert result.code == 2
    assert said in result.stderr
    assert not (tmp_path / "t").exists()


def test_a_tokenizer_that_is_there_is_kept_unless_forced(text: Path, tmp_path: Path) -> None:
    arguments = ["tokenizer", "train", str(text), "-o", str(tmp_path / "t"), "--size", "300"]
    assert invoke(*arguments).code == 0
    assert "--force" in invoke(*arguments).stderr
    assert invoke(*[*arguments, "--force", "--size", "290"]).code == 0
    assert len(transformers.AutoTokenizer.from_pretrained(tmp_path / "t")) == 290


@pytest.mark.parametrize("method", ["bpe", "unigram"])
def test_our_decoder_reads_what_transformers_reads(method: str, tmp_path: Path) -> None:
    plan = TokenizerPlan(method, 420)  # type: ignore[arg-type]
    tokenizer = train_tokenizer(LINES * 2, plan)
    write_tokenizer(tokenizer, plan, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    config = transformers.LlamaConfig(
        vocab_size=len(theirs), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=theirs.bos_token_id, eos_token_id=theirs.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    ours: Any = load(read(tmp_path, "tiny"), LoadOptions(), lambda event: None)
    for line in (*LINES, *STRANGE):
        assert ours.count(line) == len(theirs(line)["input_ids"])
    assert list(ours.stream("The cat", SamplingParams(max_tokens=3)))
