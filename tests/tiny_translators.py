"""Tiny random encoder-decoders and classifiers of the real architectures, each with its real tokenizer, trained here
on a few lines of text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import models, normalizers, pre_tokenizers, processors
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB_CODES

from lmcli.training.tokenizer import Method, TokenizerPlan, train_tokenizer, write_tokenizer

LINES = [
    "The cat sat on the mat and looked at the moon.", "Where is the station? It is behind the old church.",
    "She reads a book every evening before she goes to sleep.", "Rain fell all day, but nobody minded it.",
    "Der Hund läuft durch den Park und bellt laut.", "Wo ist der Bahnhof? Er liegt hinter der Kirche.",
    "Le chat dort sur la chaise près de la fenêtre.", "我喜欢在下雨天读书。", "今天天气很好，我们去公园吧。",
    "summarize: translate English to German: translate English to French:", "Good morning! How are you today?",
]  # fmt: skip
TEXTS = [
    "The old cat sat behind the church and looked at the rain all day.", "Where is the cat?",
    "She reads. Nobody minded the dog, but the moon fell on the station.", "Rain!",
    "Good morning! The dog goes to sleep on the mat every evening before the rain fell on the park.",
]  # fmt: skip
SIZES = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64, "init_std": 0.6,
}  # fmt: skip
CLASSIFIER = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "initializer_range": 0.4, "type_vocab_size": 2,
}  # fmt: skip


def train_pieces(folder: Path, kind: str = "unigram", **options: Any) -> Path:
    """A sentencepiece model of `kind` (unigram, bpe), as the translation checkpoints carry."""
    file = folder / f"{kind}{len(options)}.model"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 3), model_prefix=str(file.with_suffix("")), vocab_size=150, model_type=kind,
        character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options,
    )  # fmt: skip
    return file


def pieces(file: Path) -> list[str]:
    model = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return [model.id_to_piece(i) for i in range(model.get_piece_size())]


def save(folder: Path, model_class: Any, config: Any, seed: int = 0, eos_bias: float = 0.0, **generation: Any) -> Any:
    """Save a random model with its generation_config.json; the model itself."""
    torch.manual_seed(seed)
    model = model_class(config).eval()
    if eos_bias:
        model.final_logits_bias[0, config.eos_token_id] = eos_bias  # Random weights seldom end of themselves.
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id, **generation,
    )  # fmt: skip
    model.save_pretrained(folder)
    return model


def marian(
    folder: Path,
    spm: Path,
    source: str | None,
    target: str | None,
    marks: tuple[str, ...] = (),
    eos_bias: float = 9.0,
    **generation: Any,
) -> Any:
    vocabulary = ["</s>", "<unk>", *marks, *(p for p in pieces(spm) if p not in ("</s>", "<unk>", "<s>")), "<pad>"]
    write(folder / "vocab.json", {piece: i for i, piece in enumerate(vocabulary)})
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(spm.read_bytes())
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "MarianTokenizer", "source_lang": source, "target_lang": target, "model_max_length": 512,
    })  # fmt: skip
    pad = len(vocabulary) - 1
    config = transformers.MarianConfig(
        **SIZES, vocab_size=pad + 1, decoder_vocab_size=pad + 1, pad_token_id=pad, eos_token_id=0, bos_token_id=0,
        decoder_start_token_id=pad, scale_embedding=True,
    )  # fmt: skip
    return save(
        folder, transformers.MarianMTModel, config, eos_bias=eos_bias,
        **({"bad_words_ids": [[pad]], "forced_eos_token_id": 0, "max_length": 512} | generation),
    )  # fmt: skip


def joint_marian(folder: Path, method: Method, **generation: Any) -> Any:
    """A Marian with a tokenizer.json of `lmcli tokenizer train`, whose marks name the languages of both directions."""
    plan = TokenizerPlan(method, 460, "translate", ("en", "zh"), model_max_length=64)
    tokenizer = train_tokenizer(LINES * 3, plan)
    write_tokenizer(tokenizer, plan, folder)
    pad, end = (tokenizer.token_to_id(plan.special[name]) for name in ("pad", "eos"))
    config = transformers.MarianConfig(
        **SIZES, vocab_size=tokenizer.get_vocab_size(), pad_token_id=pad, eos_token_id=end, bos_token_id=None,
        decoder_start_token_id=pad, forced_eos_token_id=None, scale_embedding=True,
    )  # fmt: skip
    return save(folder, transformers.MarianMTModel, config, eos_bias=7.0, **({"max_length": 64} | generation))


def nllb(folder: Path, bpe: Path, **generation: Any) -> Any:
    (folder / "sentencepiece.bpe.model").write_bytes(bpe.read_bytes())
    write(folder / "tokenizer_config.json", {"tokenizer_class": "NllbTokenizer", "model_max_length": 64})
    tokenizer = transformers.NllbTokenizer.from_pretrained(folder, extra_special_tokens=NLLB_CODES)
    tokenizer.save_pretrained(folder)
    return _m2m(folder, len(tokenizer), **generation)


def m2m100(folder: Path, bpe: Path, **generation: Any) -> Any:
    (folder / "sentencepiece.bpe.model").write_bytes(bpe.read_bytes())
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *pieces(bpe)[3:]]
    write(folder / "vocab.json", {piece: i for i, piece in enumerate(vocabulary)})
    write(folder / "tokenizer_config.json", {"tokenizer_class": "M2M100Tokenizer", "model_max_length": 64})
    return _m2m(folder, len(vocabulary) + 108, **generation)


def _m2m(folder: Path, vocab_size: int, **generation: Any) -> Any:
    config = transformers.M2M100Config(**SIZES, vocab_size=vocab_size, decoder_start_token_id=2, scale_embedding=True)
    return save(folder, transformers.M2M100ForConditionalGeneration, config, **({"max_length": 200} | generation))


def mbart50(folder: Path, spm: Path, **generation: Any) -> Any:
    (folder / "sentencepiece.bpe.model").write_bytes(spm.read_bytes())
    write(folder / "tokenizer_config.json", {"tokenizer_class": "MBart50Tokenizer", "model_max_length": 64})
    tokenizer = transformers.MBart50Tokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = transformers.MBartConfig(
        **SIZES, vocab_size=len(tokenizer), decoder_start_token_id=2, scale_embedding=True, forced_eos_token_id=None
    )
    return save(
        folder, transformers.MBartForConditionalGeneration, config, eos_bias=6.0, forced_eos_token_id=2, max_length=200,
        **generation,
    )  # fmt: skip


T5_TASKS = {
    "summarization": {
        "prefix": "summarize: ", "num_beams": 2, "min_length": 4, "max_length": 12, "no_repeat_ngram_size": 3,
    },
    "translation_en_to_de": {"prefix": "translate English to German: ", "num_beams": 2, "max_length": 300},
    "translation_en_to_fr": {"prefix": "translate English to French: ", "num_beams": 2, "max_length": 300},
}  # fmt: skip


def t5(folder: Path, spm: Path, tasks: dict[str, Any] | None, **generation: Any) -> Any:
    (folder / "spiece.model").write_bytes(spm.read_bytes())
    write(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "model_max_length": 128})
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, initializer_factor=3.0,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, task_specific_params=tasks,
    )  # fmt: skip
    return save(folder, transformers.T5ForConditionalGeneration, config, **generation)


def bart(folder: Path, **generation: Any) -> Any:
    tokenizer = _byte_level_bpe(folder, "BartTokenizer", 128)
    config = transformers.BartConfig(
        **(SIZES | {"max_position_embeddings": 128}), vocab_size=len(tokenizer), pad_token_id=1, bos_token_id=0,
        eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    settings = {"num_beams": 2, "min_length": 3, "max_length": 14, "no_repeat_ngram_size": 3, "forced_eos_token_id": 2}
    return save(
        folder, transformers.BartForConditionalGeneration, config, eos_bias=6.0, forced_bos_token_id=0,
        **(settings | generation),
    )  # fmt: skip


def roberta(folder: Path, config_class: Any = transformers.RobertaConfig, **fields: Any) -> Any:
    return _roberta(folder, config_class, _byte_level_bpe(folder, "RobertaTokenizer", 512), **fields)


def _roberta(folder: Path, config_class: Any, tokenizer: Any, **fields: Any) -> Any:
    tokenizer.save_pretrained(folder)  # With a tokenizer.json.
    config = config_class(
        **CLASSIFIER, vocab_size=len(tokenizer), pad_token_id=1, bos_token_id=0, eos_token_id=2,
        max_position_embeddings=34, **fields,
    )  # fmt: skip
    return _classifier(folder, config)


def xlm_roberta(folder: Path, **fields: Any) -> Any:
    (folder / "sentencepiece.bpe.model").write_bytes(train_pieces(folder).read_bytes())
    write(folder / "tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512})
    tokenizer = transformers.XLMRobertaTokenizer.from_pretrained(folder)
    return _roberta(folder, transformers.XLMRobertaConfig, tokenizer, **fields)


def camembert(folder: Path, **fields: Any) -> Any:
    return roberta(folder, transformers.CamembertConfig, **fields)


def bert(folder: Path, **fields: Any) -> Any:
    config = transformers.BertConfig(
        **(CLASSIFIER | fields), vocab_size=_wordpieces(folder, "BertTokenizer"), max_position_embeddings=40
    )
    return _classifier(folder, config)


def distilbert(folder: Path, **fields: Any) -> Any:
    config = transformers.DistilBertConfig(
        vocab_size=_wordpieces(folder, "DistilBertTokenizer"), dim=32, n_layers=2, n_heads=2, hidden_dim=48,
        max_position_embeddings=40, initializer_range=0.4, **fields,
    )  # fmt: skip
    return _classifier(folder, config)


def _classifier(folder: Path, config: Any) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower():
                parameter.uniform_(0.5, 1.5)  # A norm of ones, a bias of zeros would hide one left out.
            elif name.endswith("bias"):
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    return model


def _wordpieces(folder: Path, tokenizer_class: str) -> int:
    """The tokenizer.json of a BERT: characters and whole words; the size of its vocabulary."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = " ".join(LINES).lower()
    characters = sorted(set(text) - {" "} | set("[]"))
    words = sorted(set(re.findall(r"[a-z]{2,}", text)))
    vocabulary = [*special, *characters, *(f"##{character}" for character in characters), *words]
    tokenizer = tokenizers.Tokenizer(models.WordPiece({p: i for i, p in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    # Files of training runs often cut and pad.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", {"tokenizer_class": tokenizer_class, "model_max_length": 512})
    return len(vocabulary)


def _byte_level_bpe(folder: Path, tokenizer_class: str, model_max_length: int) -> Any:
    """vocab.json and merges.txt of a RoBERTa or BART: bytes and three merges."""
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, *map("".join, merges), "<mask>"]
    write(folder / "vocab.json", {piece: i for i, piece in enumerate(vocabulary)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)), encoding="utf-8")
    write(folder / "tokenizer_config.json", {"tokenizer_class": tokenizer_class, "model_max_length": model_max_length})
    return getattr(transformers, tokenizer_class).from_pretrained(folder)


def write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
