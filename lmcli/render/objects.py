"""Objects: the documented, stable fields of JSON on standard output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lmcli.errors import LmcliError
from lmcli.explanations import Choice
from lmcli.types import Label, Sources, TaskResult


def line(value: Any) -> str:
    """`value` as a line of JSON, safe on a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    # JSON escapes the controls of ASCII; those above it must not reach a terminal, and half a character has no UTF-8.
    return re.sub("[\x7f-\x9f\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def failure(error: LmcliError) -> dict[str, Any]:
    """The documented fields of an error."""
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def more_of(label: Label) -> dict[str, Any]:
    """The documented fields that only some labels have."""
    held = {} if label.holding is None else {"labels": list(label.holding)}
    if label.explanation is None:
        return held
    found = label.explanation
    told = {"method": found.method, "label": found.label, "words": [vars(word) for word in found.words]}
    checked = {"faithfulness": vars(found.faithfulness)} if found.faithfulness else {}
    return held | {"explanation": told | checked}


def record(
    result: TaskResult, task: str, checkpoint: str, file: str | None = None, input: str | None = None
) -> dict[str, Any]:
    """The documented, stable fields of one result."""
    fields: dict[str, Any] = {"task": task, "checkpoint": checkpoint}
    if result.label:
        fields |= {"label": result.label.name, "score": result.label.score, "scores": result.label.scores}
        fields |= more_of(result.label)
    else:
        fields["text"] = result.text
    if result.sources:
        fields |= sources(result.sources)
    if result.choices:
        fields |= choices(result.choices)
    fields |= {"finish_reason": result.finish_reason, "usage": asdict(result.usage)}
    return fields | ({"file": file} if file else {}) | ({"input": input} if input is not None else {})


def choices(choices: Sequence[Choice]) -> dict[str, Any]:
    """Every token of a text with its rivals, and how well the model foresaw them all."""
    bits = sum(choice.surprise for choice in choices) / len(choices)
    return {"tokens": [asdict(choice) for choice in choices], "bits_per_token": bits, "perplexity": 2**bits}


def sources(sources: Sources) -> dict[str, Any]:
    """What an answer rests on; `answers` and `no_answer` only of a checkpoint that marks them in the text."""
    fields: dict[str, Any] = {
        "question": sources.question,
        "quote": asdict(sources.quote) if sources.quote else None,
        "passages": [asdict(passage) for passage in sources.passages],
    }
    if sources.answers is not None:
        fields |= {"answers": [asdict(answer) for answer in sources.answers], "no_answer": sources.no_answer}
    return fields
