"""From a GGUF file's vocabulary to tokenizer.json and tokenizer_config.json.

Two kinds exist: byte-level BPE with its merges (`gpt2`), and SentencePiece pieces with scores (`llama`).
The pre-tokenizers' regular expressions are those of the models' own tokenizer.json files.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from lmcli.checkpoints.gguf.config import CONTROL
from lmcli.checkpoints.gguf.file import GGUF
from lmcli.errors import CheckpointError

_USER_DEFINED = 4  # a value of tokenizer.ggml.token_type
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# tokenizer.ggml.pre: (the patterns, applied one after the other; does a whole token beat its merges?)
_PRE: dict[str, tuple[tuple[str, ...], bool]] = {
    "default": ((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"), False),
    "gpt-2": ((_GPT2,), False),
    "smollm": ((r"\p{N}", _GPT2), False),
    "llama-bpe": ((_LLAMA3,), True),
    "llama3": ((_LLAMA3,), True),
    "llama-v3": ((_LLAMA3,), True),
    "smaug-bpe": ((_LLAMA3,), True),
    "qwen2": ((_QWEN2,), False),
    "deepseek-r1-qwen": ((_QWEN2,), False),
    "qwen35": ((_QWEN35,), False),
}
_LLAMA3_LIKE = {name for name, (_, whole) in _PRE.items() if whole}
_NORMALIZED = {"qwen2", "qwen35"}  # These vocabularies were trained on text in Unicode's NFC.
_SPACE = "\u2581"


def tokenizer(gguf: GGUF) -> Tokenizer:
    """The tokenizer, special tokens included. Raises CheckpointError for a vocabulary of an unknown kind."""
    tokens = gguf.get("tokenizer.ggml.tokens")
    if not tokens:
        raise CheckpointError(f"{gguf.path}: the file holds no vocabulary", "use a file with its tokenizer in it")
    kind = gguf.get("tokenizer.ggml.model")
    if kind == "gpt2":
        built = _byte_level(gguf, tokens)
    elif kind == "llama":
        built = _sentencepiece(gguf, tokens)
    else:
        raise CheckpointError(
            f"{gguf.path}: a tokenizer of kind '{kind}' cannot be converted",
            "use the checkpoint's safetensors: lmcli pull ORG/NAME",
        )
    _add_special(built, gguf, tokens)
    _begin(built, gguf, tokens)
    return built


def tokenizer_config(gguf: GGUF) -> dict[str, Any]:
    """tokenizer_config.json's fields. The class is the general one, so that tokenizer.json alone decides."""
    tokens = gguf.get("tokenizer.ggml.tokens", [])
    fields: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": gguf.get("{arch}.context_length", 2048),
        "add_bos_token": begins(gguf),
    }
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        index = gguf.get(f"tokenizer.ggml.{key}_token_id")
        if index is not None and index < len(tokens):
            fields[f"{name}_token"] = tokens[index]
    template = gguf.get("tokenizer.chat_template")
    return fields | ({"chat_template": template} if template else {})


def begins(gguf: GGUF) -> bool:
    """Whether a text begins with the bos token; where the file does not say, as llama.cpp has it."""
    usual = gguf.get("tokenizer.ggml.model") == "llama" or gguf.get("tokenizer.ggml.pre") in _LLAMA3_LIKE
    has_bos = gguf.get("tokenizer.ggml.bos_token_id") is not None
    return has_bos and bool(gguf.get("tokenizer.ggml.add_bos_token", usual))


def _byte_level(gguf: GGUF, tokens: list[str]) -> Tokenizer:
    pre = gguf.get("tokenizer.ggml.pre", "default")
    if pre not in _PRE:
        raise CheckpointError(
            f"{gguf.path}: the pre-tokenizer '{pre}' is not known, so its text would be cut wrongly",
            f"known are {', '.join(_PRE)}; or use the checkpoint's safetensors",
        )
    patterns, whole = _PRE[pre]
    merges = [tuple(merge.split(" ", 1)) for merge in gguf.get("tokenizer.ggml.merges", [])]
    built = Tokenizer(models.BPE(_vocabulary(tokens), merges, ignore_merges=whole))
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    if pre in _NORMALIZED:
        built.normalizer = normalizers.NFC()
    built.decoder = decoders.ByteLevel()
    return built


def _sentencepiece(gguf: GGUF, tokens: list[str]) -> Tokenizer:
    unknown = gguf.get("tokenizer.ggml.unknown_token_id", 0)
    vocabulary = _vocabulary(tokens)
    merges = _merges(tokens, gguf.get("tokenizer.ggml.scores", [0.0] * len(tokens)), vocabulary)
    built = Tokenizer(models.BPE(vocabulary, merges, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True))
    prefix = bool(gguf.get("tokenizer.ggml.add_space_prefix", True))
    # A space goes before the text and, as in llama.cpp, before what follows a special token.
    spaces = [normalizers.Prepend(_SPACE)] if prefix else []
    built.normalizer = normalizers.Sequence([*spaces, normalizers.Replace(" ", _SPACE)])
    steps: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    built.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    return built


def _merges(tokens: list[str], scores: list[float], vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """The merges a SentencePiece BPE vocabulary implies: every split of a piece into two, best pieces
    first."""
    found = []
    for piece, score in zip(tokens, scores, strict=True):
        splits = ((piece[:i], piece[i:]) for i in range(1, len(piece)))
        pairs = [(left, right) for left, right in splits if left in vocabulary and right in vocabulary]
        pairs.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        found += [(score, pair) for pair in pairs]
    found.sort(key=lambda entry: -entry[0])  # A stable sort: pieces of one score keep their order.
    return [pair for _, pair in found]


def _vocabulary(tokens: list[str]) -> dict[str, int]:
    vocabulary: dict[str, int] = {}
    for index, token in enumerate(tokens):
        vocabulary.setdefault(token, index)
    return vocabulary


def _add_special(built: Tokenizer, gguf: GGUF, tokens: list[str]) -> None:
    types = gguf.get("tokenizer.ggml.token_type", [])
    special = {gguf.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot", "eom", "padding")}
    for index, (token, kind) in enumerate(zip(tokens, types, strict=False)):
        if kind == CONTROL or index in special:
            built.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == _USER_DEFINED:
            built.add_tokens([AddedToken(token, special=False, normalized=False)])


def _begin(built: Tokenizer, gguf: GGUF, tokens: list[str]) -> None:
    if begins(gguf):
        bos = tokens[gguf.get("tokenizer.ggml.bos_token_id")]
        built.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, built.token_to_id(bos))]
        )
