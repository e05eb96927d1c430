"""`lmcli tokenizer`: make a vocabulary."""

from __future__ import annotations

import os
from importlib import import_module

import click

from lmcli.commands._help import Command

EPILOG = """\b
Examples:
  lmcli tokenizer train --model bpe --size 16000 books/*.txt -o books-tokenizer
"""
_PREFIX = "_tokenizer_"


class Subcommands(Command, click.Group):
    """Every file `_tokenizer_NAME.py` beside this one is a subcommand; only the one asked for is imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = os.listdir(os.path.dirname(__file__))
        return sorted(
            name.removeprefix(_PREFIX)[:-3] for name in files if name.startswith(_PREFIX) and name.endswith(".py")
        )

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"lmcli.commands.{_PREFIX}{name}").command
        return command


@click.group(cls=Subcommands, epilog=EPILOG)
def command() -> None:
    """Make a vocabulary for a checkpoint of your own."""
