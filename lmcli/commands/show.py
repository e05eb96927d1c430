"""`lmcli show`: everything about one checkpoint on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli show smollm2
  lmcli show --json ./checkpoint
  lmcli show --losses ./my-classifier
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("ref", shell_complete=complete_checkpoints)
@click.option("--losses", is_flag=True, help="Draw the losses of the run that trained it.")
@output_options
@click.pass_obj
def command(environment: Environment, ref: str, losses: bool, renderer: Renderer) -> None:
    """Show what is known about the checkpoint REF."""
    from lmcli import checkpoints
    from lmcli.commands._checkpoints import facts
    from lmcli.commands._engine import EngineChoice
    from lmcli.commands._losses import show_losses

    settings = EngineChoice(environment, {}).settings
    found = checkpoints.find(ref, settings)
    if found is None:
        checkpoints.known(ref, settings)  # A name nobody knows is told apart from one that is only not here.
        raise checkpoints.missing(ref)
    if losses:
        show_losses(found, renderer)
    else:
        renderer.fields(facts(found))
