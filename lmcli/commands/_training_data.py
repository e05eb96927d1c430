"""The examples of a training run: read, parted, checked, and told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmcli import training
from lmcli.data import checks
from lmcli.data.examples import Columns, Example
from lmcli.data.reading import read
from lmcli.data.splitting import split
from lmcli.errors import UsageError
from lmcli.training.plan import Plan
from lmcli.types import Notice

if TYPE_CHECKING:
    from lmcli.data.checks import Checked
    from lmcli.render import Renderer


def read_data(values: Mapping[str, Any], plan: Plan, renderer: Renderer) -> Checked:
    """The examples, checked; what was found is told. Raises InputError where they cannot be trained on."""
    recipe = plan.recipe
    with renderer.status("reading the examples …"):
        train, broken = _read(values["files"], values)
        if values["validation"]:
            validation, more = _read(values["validation"], values)
            broken += more
        else:
            train, validation = split(train, values["validation_share"], recipe.seed)
        tokens = training.reading(plan)
        checked = checks.check(
            train, validation, recipe.task, broken, tokens.count, tokens.longest, tokens.possible
        )  # fmt: skip
    for finding in checked.findings:
        if finding.severity == "warning":
            renderer.report(Notice(finding.message if not finding.hint else f"{finding.message}; {finding.hint}"))
    checks.raise_errors(checked.findings)
    repeated = _repeated(checked.train, values["repeat"])
    counts = f"{len(repeated):,} examples to train on, {len(checked.validation):,} to validate by"
    labels = Counter(example.answer for example in repeated) if recipe.task == "classify" else {}
    shares = ", ".join(f"{label} {count / len(repeated):.0%}" for label, count in sorted(labels.items()))
    renderer.report(Notice(f"{counts}: {shares}" if shares else counts))
    return type(checked)(tuple(repeated), checked.validation, checked.findings)


def _read(files: Sequence[str], values: Mapping[str, Any]) -> tuple[list[Example], list[Any]]:
    columns = Columns(values["text_field"], values["answer_field"], values["second_field"])
    languages = (values["source"], values["target"]) if values["source"] and values["target"] else None
    reading = read(files, values["task"], columns, languages, values["both_ways"])
    return reading.examples, list(reading.broken)


def _repeated(examples: Sequence[Example], repeats: Mapping[str, int]) -> list[Example]:
    unknown = set(repeats) - {example.place.file for example in examples}
    if unknown:
        raise UsageError(f"--repeat names {min(unknown)}, which is none of the files", "name it as the file is named")
    return [example for example in examples for _ in range(repeats.get(example.place.file, 1))]
