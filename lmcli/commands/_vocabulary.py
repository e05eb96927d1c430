"""What `lmcli tokenizer train` does: read the texts, learn, write, and tell what came of it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcli.data.examples import Columns
from lmcli.data.reading import read
from lmcli.errors import UsageError
from lmcli.text.language import parse
from lmcli.types import Notice

if TYPE_CHECKING:
    from lmcli.render import Renderer

COLUMNS = {"property": "PROPERTY", "value": "VALUE"}
_MEASURED = 2000  # texts of each kind


def train(values: Mapping[str, Any], renderer: Renderer) -> None:
    """Raises UsageError, InputError."""
    folder = Path(values["output"]).expanduser()
    if (folder / "tokenizer.json").exists() and not values["force"]:
        raise UsageError(f"{folder} has a tokenizer already", "replace it with --force, or choose another folder")
    languages = tuple(parse(code.strip()) for code in values["languages"].split(",") if code.strip())
    if values["use"] == "translate" and len(languages) < 2:
        raise UsageError("a translator's tokenizer must know its languages", "name them: --languages en,zh")
    texts = read_texts(values["files"], values["fields"], languages)
    # Importing tokenizers takes a moment: first the command line must be right.
    from lmcli.training import tokenizer as training

    plan = training.TokenizerPlan(
        values["method"], values["size"], values["use"], languages if values["use"] == "translate" else (),
        values["max_length"], values["sample"], values["seed"], values["characters"],
    )  # fmt: skip
    renderer.report(Notice(f"learning {plan.size:,} tokens from {sum(map(len, texts.values())):,} texts"))
    with renderer.status("learning a vocabulary …"):
        tokenizer = training.train_tokenizer([text for group in texts.values() for text in group], plan)
    training.write_tokenizer(tokenizer, plan, folder)
    measured = {name: _sample(group) for name, group in texts.items()}
    densities = {name: round(training.density(tokenizer, group), 3) for name, group in measured.items()}
    found = {
        "path": str(folder), "size": tokenizer.get_vocab_size(), "tokens_per_character": densities,
        "unknowns": training.unknowns(tokenizer, plan, chain.from_iterable(measured.values())),
    }  # fmt: skip
    renderer.record(found, list(_rows(found)), COLUMNS)


def read_texts(files: Sequence[str], fields: Sequence[str], languages: Sequence[str]) -> dict[str, list[str]]:
    """The texts of `files` by language or, where they have none, by column; "text" for what is no table.

    Raises InputError, UsageError.
    """
    found: dict[str, list[str]] = {}
    if not fields and len(languages) == 2:
        for example in read(files, "translate", languages=(languages[0], languages[1])).examples:
            for language, text in zip(example.languages or languages, (example.text, example.answer), strict=True):
                found.setdefault(language, []).append(text)
        return found
    for field in fields or (None,):
        examples = read(files, "generate", Columns(field)).examples
        # A whole book is one example; its lines are texts enough.
        found[field or "text"] = [line for example in examples for line in example.text.splitlines(keepends=True)]
    return found


def _sample(texts: Sequence[str]) -> list[str]:
    return random.Random(0).sample(texts, min(_MEASURED, len(texts)))


def _rows(found: Mapping[str, Any]) -> Any:
    yield {"property": "path", "value": found["path"]}
    yield {"property": "tokens", "value": found["size"]}
    for name, value in found["tokens_per_character"].items():
        yield {"property": f"tokens per character, {name}", "value": value}
    yield {"property": "unknowns", "value": found["unknowns"]}
