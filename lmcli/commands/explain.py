"""`lmcli explain`: why a text has its label, why a model wrote what it did, and what its attention looks at."""

from __future__ import annotations

from typing import Any

import click

from lmcli.commands import _explain_attention, _explain_label, _explain_tokens
from lmcli.commands._help import Command

EPILOG = """\b
Examples:
  lmcli explain "The food was wonderful but it took an hour."
  lmcli explain tokens --chat "What is the capital of France?"
  lmcli explain attention -o map.html "The cat sat on the mat."
"""
_DEFAULT = "label"


class _Explain(Command, click.Group):
    """A group whose first command may be left out: it is what most ask for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and ctx.obj is not None and ctx.obj.stdin.isatty():
            raise click.exceptions.NoArgsIsHelpError(ctx)
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else [_DEFAULT, *args])


@click.group(cls=_Explain, epilog=EPILOG)
def command(**_: Any) -> None:
    """Show why a text has its label, how sure a model was of each token, or where its attention goes.

    Without one of the commands below, the label of a TEXT, FILE or standard input is explained.
    """


command.add_command(_explain_label.command, "label")
command.add_command(_explain_tokens.command, "tokens")
command.add_command(_explain_attention.command, "attention")
