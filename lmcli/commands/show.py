"""`lmcli show`: everything about one checkpoint on this machine."""

from __future__ import annotations

from typing import Any

import click

from lmcli import checkpoints
from lmcli.checkpoints.checkpoint import context_length, read_config
from lmcli.commands._checkpoints import Size, row
from lmcli.commands._engine import EngineChoice
from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options
from lmcli.environment import Environment
from lmcli.render import Renderer


class File(dict[str, Any]):
    """A file that a person reads as its name and size, and JSON as an object."""

    def __str__(self) -> str:
        return f"{self['name']} ({self['size_bytes']})"


EPILOG = """\b
Examples:
  lmcli show smollm2
  lmcli show --json ./checkpoint
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("ref", shell_complete=complete_checkpoints)
@output_options
@click.pass_obj
def command(environment: Environment, ref: str, renderer: Renderer) -> None:
    """Show what is known about the checkpoint REF.

    \b
    Examples:
      lmcli show smollm2
      lmcli show ./my-checkpoint --json
    """
    settings = EngineChoice(environment, {}).settings
    found = checkpoints.find(ref, settings)
    if found is None:
        checkpoints.known(ref, settings)  # A name nobody knows is told apart from one that is only not here.
        raise checkpoints.missing(ref)
    config = read_config(found.path)
    facts = row(found) | {
        "revision": found.revision,
        "model_type": found.model_type,
        "architecture": next(iter(config.get("architectures") or []), None),
        "dtype": found.dtype,
        "context_length": context_length(config),
        "chat_template": found.instruct,
    }
    files = [file for file in sorted(found.path.iterdir()) if file.is_file()]
    renderer.fields(facts | {"files": [File(name=f.name, size_bytes=Size(f.stat().st_size)) for f in files]})
