"""`lmcli list`: the checkpoints on this machine, and with --all those of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

ALL = {"name": "NAME", "task": "FOR", "languages": "LANGUAGES", "parameters": "PARAMETERS", "size_bytes": "SIZE",
       "license": "LICENCE", "gated": "GATED", "here": "HERE", "with_lmcli": "WITH LMCLI"}  # fmt: skip

EPILOG = """\b
Examples:
  lmcli list
  lmcli list --all
  lmcli list --jsonl | jq -r .name
"""


@click.command(cls=Command, epilog=EPILOG)
@click.option("--all", "all_", is_flag=True, help="Show those that can be pulled by a short name, too.")
@output_options
@click.pass_obj
def command(environment: Environment, all_: bool, renderer: Renderer) -> None:
    """List the checkpoints on this machine, whoever downloaded them, and the starters, which came with lmcli."""
    from lmcli import checkpoints
    from lmcli.checkpoints import catalog
    from lmcli.commands._checkpoints import COLUMNS, entry_row, row
    from lmcli.commands._engine import EngineChoice
    from lmcli.types import Notice

    rows = [row(checkpoint) for checkpoint in checkpoints.cached(EngineChoice(environment, {}).settings)]
    if all_:
        here = {known["name"] for known in rows}
        rows += [entry_row(entry) for entry in catalog.ENTRIES if entry.name not in here]
    elif all(known["with_lmcli"] for known in rows):
        only = "nothing but what came with lmcli" if rows else "no checkpoint"
        renderer.report(Notice(f"{only} is on this machine yet; lmcli list --all shows what can be pulled"))
    renderer.table(rows, ALL if all_ else COLUMNS)
