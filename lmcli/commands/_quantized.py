"""What `lmcli quantize` reads and shows: the text to compare on, and two checkpoints side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

from lmcli.commands._checkpoints import Size
from lmcli.text.documents import read_all
from lmcli.text.sample import SAMPLE
from lmcli.types import Checkpoint

if TYPE_CHECKING:
    from lmcli.engine.agreement import Agreement
    from lmcli.engine.comparison import Comparison

COLUMNS = {"measure": "", "before": "BEFORE", "after": "AFTER"}


def text_of(file: str | None, stdin: BinaryIO) -> str:
    """The file's text, or our own sample. Raises InputError."""
    return read_all([file], stdin)[0].text if file else SAMPLE


def record(before: Checkpoint, after: Checkpoint, comparison: Comparison | Agreement) -> dict[str, Any]:
    """The comparison as JSON has it."""
    return {
        "checkpoint": before.name,
        "name": after.name,
        "path": str(after.path),
        "dtype": after.dtype,
        "size_bytes_before": before.size_bytes,
        "size_bytes_after": after.size_bytes,
        **asdict(comparison),
    }


def rows(before: Checkpoint, after: Checkpoint, comparison: Comparison | Agreement) -> list[dict[str, Any]]:
    """The same as people read it."""
    return [
        {"measure": "name", "before": before.name, "after": after.name},
        {"measure": "size", "before": Size(before.size_bytes), "after": Size(after.size_bytes)},
        *(_agreement(before, comparison) if before.kind != "causal" else _distance(comparison)),
    ]


def _distance(comparison: Any) -> list[dict[str, Any]]:
    """Of decoders."""
    return [
        {
            "measure": f"perplexity on {comparison.tokens} tokens",
            "before": f"{comparison.perplexity_before:.2f}",
            "after": f"{comparison.perplexity_after:.2f}",
        },
        {"measure": "same likeliest token", "before": "", "after": f"{comparison.agreement:.1%}"},
        {"measure": "relative error of the logits", "before": "", "after": f"{comparison.relative_error:.3f}"},
    ]


def _agreement(before: Checkpoint, agreement: Any) -> list[dict[str, Any]]:
    """Of the other kinds."""
    same, change = _MEASURES[before.kind]
    return [
        {"measure": same.format(agreement.texts), "before": "", "after": f"{agreement.agreement:.1%}"},
        {"measure": change, "before": "", "after": f"{agreement.mean_change:.1%}"},
    ]


_MEASURES = {
    "classifier": ("same label of {} sentences", "mean change of its probability"),
    "qa": ("same answer to {} sentences", "mean change of its probability"),
    "seq2seq": ("same words for {} sentences", "characters that differ"),
}
