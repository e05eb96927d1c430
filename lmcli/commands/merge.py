"""`lmcli merge`: make one checkpoint of several that were trained from the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli merge reviews-1 reviews-2 -o reviews
  lmcli merge reviews-1 reviews-2 reviews-3 --shares 2,1,1 -o reviews
"""

_RELATED = 0.5  # trained from one, two checkpoints have a cosine above 0.9; not so, near 0


@click.command(cls=Command, epilog=EPILOG)
@click.argument("refs", nargs=-1, required=True, metavar="REF REF...", shell_complete=complete_checkpoints)
@click.option("-o", "--output", required=True, metavar="NAME", help="Its name, or a folder to write.")
@click.option("--shares", metavar="N,N,…", help="How much of each; else as much of all.")
@click.option("--force", is_flag=True, help="Replace a checkpoint that is there.")
@output_options
@click.pass_obj
def command(
    environment: Environment, refs: tuple[str, ...], output: str, shares: str | None, force: bool, renderer: Renderer
) -> None:
    """Write the mean of the weights of several checkpoints that were trained from one: it often does better than each.

    Train twice, with --seed 1 and --seed 2, and merge: a model soup.
    """
    from lmcli import checkpoints, engine
    from lmcli.commands._checkpoints import Size
    from lmcli.commands._engine import EngineChoice
    from lmcli.errors import UsageError
    from lmcli.types import Notice

    if len(refs) < 2:
        raise UsageError("there is one checkpoint alone", "name two or more")
    wanted = _shares(shares, len(refs))
    choices = [EngineChoice(environment, {"model": ref}) for ref in refs]
    name, folder = checkpoints.place_new(output, choices[0].settings, force)
    sources = [replace(one.checkpoint("generate", renderer), name=ref) for one, ref in zip(choices, refs, strict=True)]
    likeness = engine.merge(sources, wanted, folder, renderer.report)
    if likeness < _RELATED:
        renderer.report(Notice("their weights have little in common: were they trained from one checkpoint?"))
    size = checkpoints.read(folder, name).size_bytes
    record = {"name": name, "path": str(folder), "merged": list(refs), "shares": wanted, "cosine": likeness,
              "size_bytes": size}  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"property": "merged", "value": ", ".join(refs)},
        {"property": "cosine of their weights", "value": f"{likeness:.3f}"},
        {"property": "size", "value": Size(size)},
        {"property": "path", "value": str(folder)},
    ]
    renderer.record(record, rows, {"property": "", "value": ""})


def _shares(text: str | None, count: int) -> list[float]:
    """Raises UsageError for what are not `count` numbers above 0."""
    from lmcli.errors import UsageError

    if text is None:
        return [1 / count] * count
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count or not all(0 < share < float("inf") for share in found):
        raise UsageError(f"--shares takes a number above 0 for each of the {count} checkpoints", "as in --shares 2,1")
    return [share / sum(found) for share in found]
