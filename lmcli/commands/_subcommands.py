"""Commands that have commands of their own, each in a file beside theirs."""

from __future__ import annotations

import os
from importlib import import_module

import click

from lmcli.commands._help import Command


class Subcommands(Command, click.Group):
    """Every file `_GROUP_NAME.py` beside this one is the subcommand NAME of the command GROUP; only the one asked for
    is imported. Where one is the `default`, it is what is done where none is named."""

    def __init__(self, *arguments: object, group: str, default: str | None = None, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._prefix, self._default = f"_{group}_", default

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = os.listdir(os.path.dirname(__file__))
        names = (
            name.removeprefix(self._prefix)[:-3]
            for name in files
            if name.startswith(self._prefix) and name.endswith(".py")
        )
        return sorted(names, key=lambda name: (name != self._default, name))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"lmcli.commands.{self._prefix}{name}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self._default is None:
            return super().parse_args(ctx, args)
        if not args and ctx.obj.stdin.isatty():
            raise click.exceptions.NoArgsIsHelpError(ctx)
        named = args and args[0] in (*self.list_commands(ctx), *ctx.help_option_names)
        return super().parse_args(ctx, args if named else [self._default, *args])
