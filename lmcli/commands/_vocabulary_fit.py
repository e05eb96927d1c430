"""What `lmcli tokenizer fit` does: read texts and pairs, fit the vocabulary, and tell what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lmcli import checkpoints
from lmcli.commands._engine import EngineChoice
from lmcli.commands._vocabulary import read_texts
from lmcli.data.reading import read_examples
from lmcli.errors import UsageError
from lmcli.text.language import parse
from lmcli.types import Notice

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer
    from lmcli.training.vocabulary import FittedVocabulary

COLUMNS = {"property": "", "before": "BEFORE", "after": "AFTER"}


def fit(environment: Environment, values: Mapping[str, Any], renderer: Renderer) -> None:
    """Raises UsageError, InputError, CheckpointError."""
    choice = EngineChoice(environment, {"model": values["ref"]})
    name, folder = checkpoints.place_new(values["output"], choice.settings, values["force"])
    if values["pairs"] and not values["characters"]:
        raise UsageError("--pairs are for new characters", "add them: --add-characters")
    pairs = _pairs(values["pairs"], values["origin"], values["target"])
    texts = [text for group in read_texts(values["files"], values["fields"], ()).values() for text in group]
    source = choice.checkpoint("finetune", renderer)
    # Importing torch takes a moment: first the command line must be right.
    from lmcli.training.vocabulary import VocabularyPlan, fit_vocabulary

    plan = VocabularyPlan(values["size"], values["characters"])
    both = [*texts, *(text for pair in pairs for text in pair)]
    renderer.report(Notice(f"fitting the vocabulary of {source.name} to {len(both):,} texts"))
    with renderer.status("fitting a vocabulary …"):
        fitted = fit_vocabulary(source.path, folder, both, pairs, plan)
    sizes = (source.size_bytes, checkpoints.read(folder, name).size_bytes)
    record = {"name": name, "path": str(folder), "size_bytes": sizes, **asdict(fitted)}
    renderer.record(record, list(_rows(fitted, sizes)), COLUMNS)


def _pairs(files: Sequence[str], origin: str | None, target: str | None) -> list[tuple[str, str]]:
    if not files:
        return []
    languages = (parse(origin), parse(target)) if origin and target else None
    examples = read_examples(files, "translate", languages=languages)
    return [(example.text, example.answer) for example in examples]


def _rows(fitted: FittedVocabulary, sizes: tuple[int, int]) -> Iterator[dict[str, Any]]:
    from lmcli.commands._checkpoints import Size

    for name, (before, after) in (
        ("size", (Size(sizes[0]), Size(sizes[1]))), ("pieces", fitted.pieces), ("tokens of the texts", fitted.tokens),
        ("unknown tokens", fitted.unknowns),
    ):  # fmt: skip
        yield {"property": name, "before": before, "after": after}
    for name, count in (
        ("characters added", fitted.characters), ("of these with translations", fitted.aligned),
    ):  # fmt: skip
        yield {"property": name, "before": None, "after": count}
