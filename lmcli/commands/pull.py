"""`lmcli pull`: get checkpoints onto this machine."""

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
  lmcli pull smollm2
  lmcli pull Qwen/Qwen3-0.6B@main
  lmcli pull ./model.gguf
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("refs", metavar="REF...", nargs=-1, required=True, shell_complete=complete_checkpoints)
@click.option("--offline", is_flag=True, help="Make no request; only say whether it is here.")
@click.option("--trust-remote-code", is_flag=True, help="Fetch the code a checkpoint brings with it, too.")
@output_options
@click.pass_obj
def command(
    environment: Environment,
    refs: tuple[str, ...],
    offline: bool,
    trust_remote_code: bool,
    renderer: Renderer,
) -> None:
    """Download checkpoints, or their newer versions.

    REF is a short name (lmcli list --all), a hub id as ORG/NAME or ORG/NAME@REVISION, or a .gguf file to
    convert.
    """
    from lmcli import checkpoints
    from lmcli.commands._checkpoints import COLUMNS, row
    from lmcli.commands._engine import EngineChoice

    settings = EngineChoice(environment, {"offline": offline}).settings
    pulled = [checkpoints.pull(ref, settings, renderer.report, trust_remote_code=trust_remote_code) for ref in refs]
    renderer.table([row(checkpoint) for checkpoint in pulled], COLUMNS | {"path": "PATH"})
