"""`lmcli rm`: delete checkpoints from the caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options
from lmcli.errors import UsageError

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli rm smollm2
  lmcli rm --yes Qwen/Qwen3-0.6B
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("refs", metavar="[REF]...", nargs=-1, shell_complete=complete_checkpoints)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--prompts", is_flag=True, help="Forget the prompts that --cache-prompt has kept.")
@output_options
@click.pass_obj
def command(environment: Environment, refs: tuple[str, ...], yes: bool, prompts: bool, renderer: Renderer) -> int:
    """Delete the checkpoints REF from the hub's cache and lmcli's own.

    Other programs share the hub's cache and will have to download them again. A folder of your own is never
    touched.
    """
    from lmcli import checkpoints
    from lmcli.commands._checkpoints import Size
    from lmcli.commands._engine import EngineChoice
    from lmcli.engine.prefix_folder import PrefixFolder

    if not refs and not prompts:
        raise UsageError("there is nothing to delete", "lmcli rm REF, or lmcli rm --prompts")
    settings = EngineChoice(environment, {}).settings
    if refs and not yes and not _agreed(environment, refs):
        return 1
    for ref in refs:
        freed = Size(checkpoints.remove(ref, settings))
        renderer.fields({"removed": ref, "freed_bytes": freed})
    if prompts:
        freed = Size(PrefixFolder(settings.prompt_dir).clear())
        renderer.fields({"removed": "prompts", "freed_bytes": freed})
    return 0


def _agreed(environment: Environment, refs: tuple[str, ...]) -> bool:
    from lmcli.commands._engine import confirm

    if not (environment.stdin.isatty() and environment.stderr.isatty()):
        raise UsageError(f"nobody is here to ask whether to delete {', '.join(refs)}", "add --yes")
    return confirm(environment, f"Delete {', '.join(refs)} from this machine?", default=False)
