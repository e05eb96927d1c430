"""The model card: README.md beside a trained checkpoint, with what it is, what it learned from and how well.

The form is the Hugging Face Hub's: metadata in YAML, then Markdown (Mitchell et al. 2018, arXiv:1810.03993).
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable
from dataclasses import fields
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from lmcli import __version__
from lmcli.render.figures import figure
from lmcli.training.card import PICTURE, Card
from lmcli.training.card_metadata import metadata, repository
from lmcli.training.card_usage import usage

_FILE = "README.md"


def write_card(folder: Path, card: Card) -> Path:
    """Write the card into a checkpoint's folder, which shows the picture of the losses where that lies there too."""
    sections = [_opening, usage, _data, _figures, _recipe, _limits, _versions]
    pictures = [f"![The losses of the run]({PICTURE})"] if (folder / PICTURE).exists() else []
    parts = [f"---\n{metadata(card)}\n---", *(section(card) for section in sections[:4]), *pictures]
    parts += [section(card) for section in sections[4:]]
    file = folder / _FILE
    file.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    return file


_WHAT = {
    "classify": "a text classifier",
    "translate": "a translator",
    "summarize": "a summarizer",
    "chat": "a chat model",
    "generate": "a language model",
    "masked": "an encoder, a masked language model to fine-tune further",
}
_TRAINED = {
    "classify": "to choose a text's label",
    "translate": "to translate",
    "summarize": "to summarize",
    "chat": "on conversations, with the loss on the answers alone",
    "generate": "to continue texts",
    "masked": "to fill in masked tokens",
}


def _opening(card: Card) -> str:
    task = card.recipe.task
    size = f" of {_count(card.num_parameters)} parameters" if card.num_parameters else ""
    languages = f" for {', '.join(card.languages)}" if card.languages else ""
    lines = [f"# {_text(card.name)}", f"This is {_WHAT[task]}{size}{languages}, {_origin(card)} {_TRAINED[task]}."]
    if card.labels:
        lines.append(f"Its labels are {', '.join(map(_code, card.labels))}.")
    return lines[0] + "\n\n" + " ".join(lines[1:])


def _origin(card: Card) -> str:
    if card.base is None:
        return "trained from random weights"
    known = repository(card.base)
    base = f"[{known}](https://huggingface.co/{known})" if known else f"the checkpoint {_code(card.base.name)}"
    how = f"with LoRA of rank {card.recipe.lora_rank} (merged)" if card.recipe.lora_rank else "in all its weights"
    licence = f" (licence: {_text(card.base.license)})" if card.base.license else ""
    return f"fine-tuned {how} from {base}{licence}"


def _data(card: Card) -> str:
    if not card.data:
        return ""
    rows = [
        (_text(part.name), part.split, f"{part.examples:,}", ", ".join(f"{n:,} {_text(why)}" for why, n in
         part.removed.items() if n) or "–") for part in card.data
    ]  # fmt: skip
    told = [f"Licence of the data: {card.data_license}" if card.data_license else "", card.attribution or ""]
    return _section("Data", _table(("file or set", "used for", "examples", "removed by the checks"), rows), *told)


def _figures(card: Card) -> str:
    found = card.validation
    if found is None:
        return ""
    examples = _validated(card)
    of = f" on {examples:,} validation examples" if examples else ""
    opening = f"After step {found.step:,} (epoch {found.epoch:.1f}){of}:"
    rows = [(name, figure(name, value) + _margin(name, value, examples)) for name, value in found.metrics.items()]
    margin = "± is how far so few examples may mislead, 19 times of 20." if any("±" in row[1] for row in rows) else ""
    return _section("Figures", opening, _table(("metric", "value"), rows), margin)


def _margin(metric: str, value: float, examples: int) -> str:
    """How far a share of so many examples may lie from that of all texts, 95 times of 100."""
    if metric not in ("accuracy", "exact_match") or not examples or not 0 <= value <= 1:
        return ""
    return f" ± {1.96 * math.sqrt(value * (1 - value) / examples):.1%}"


_TITLES: dict[str, str] = {
    "epochs": "epochs", "max_steps": "steps at most", "batch_size": "batch size, examples",
    "batch_tokens": "batch size, tokens", "accumulation": "gradient accumulation, batches",
    "learning_rate": "learning rate", "warmup": "warm-up, share of the steps", "weight_decay": "weight decay",
    "max_grad_norm": "gradient clipping, norm", "label_smoothing": "label smoothing", "class_weights": "class weights",
    "max_length": "longest example, tokens", "lora_rank": "LoRA rank", "patience": "patience, validations",
    "evaluate_every": "validation each so many steps", "seed": "seed",
}  # fmt: skip


def _recipe(card: Card) -> str:
    """All choices that were made; those that are switched off are left out."""
    recipe = card.recipe
    chosen = {item.name: getattr(recipe, item.name) for item in fields(recipe) if item.name in _TITLES}
    if recipe.batch_tokens:
        del chosen["batch_size"]
    if recipe.max_steps:
        del chosen["epochs"]
    if recipe.accumulation == 1:
        del chosen["accumulation"]
    rows = [(_TITLES[name], "yes" if value is True else f"{value:,g}" if isinstance(value, float) else str(value))
            for name, value in chosen.items() if value or name == "seed"]  # fmt: skip
    opening = "AdamW; the learning rate rises linearly, then falls along a cosine to 0."
    steps = f"{card.steps:,} steps" if card.steps else "Trained"
    took = f" in {timedelta(seconds=round(card.seconds))}" if card.seconds else ""
    where = f"{steps}{took} on {card.device}, in {card.dtype}."
    command = f"```sh\n{card.command}\n```" if card.command else ""
    return _section("Training", f"{opening} {where}", _table(("choice", "value"), rows), command)


def _limits(card: Card) -> str:
    found = list(card.limits)
    if card.recipe.task == "classify":
        found.append("Every text is given one of the labels, also a text that is about something else.")
    if card.recipe.task in ("translate", "summarize", "chat", "generate"):
        found.append("What it writes may be fluent and wrong; nothing checks it against the facts.")
    if card.validation is not None:
        found.append("The checkpoint was chosen by the validation examples, so their figures are a little too good; "
                     "texts of another kind than the examples will do worse.")  # fmt: skip
    found.append("What is one-sided in the data is one-sided in its answers.")
    return _section("Limits", "\n".join(f"- {limit}" for limit in found))


def _versions(card: Card) -> str:
    libraries = [f"{name} {version(name)}" for name in ("torch", "transformers", "tokenizers")]
    libraries += [f"peft {version('peft')}"] if card.recipe.lora_rank else []
    return _section("Versions", ", ".join([f"lmcli {__version__}", *libraries, f"Python {platform.python_version()}"]))


def _validated(card: Card) -> int:
    return sum(part.examples for part in card.data if part.split == "validation")


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"## {title}", *filter(None, paragraphs)])


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = tuple(headings)
    lines = [names, ("---",) * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    """A name of the user's as text in Markdown, also in a table."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in " ".join(text.split()))


def _code(text: str) -> str:
    """A name of the user's in backquotes, of which it may have some itself."""
    line = " ".join(text.split())
    return f"`` {line} ``" if "`" in line else f"`{line}`"


def _count(number: int) -> str:
    if number >= 1e9:
        return f"{number / 1e9:.1f} billion"
    return f"{number / 1e6:.1f} million" if number >= 1e5 else f"{number:,}"
