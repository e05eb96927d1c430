"""`lmcli explain`: why a text has its label, why a model wrote what it did, and what its attention looks at."""

from __future__ import annotations

import click

from lmcli.commands._subcommands import Subcommands

EPILOG = """\b
Examples:
  lmcli explain "The food was wonderful but it took an hour."
  lmcli explain tokens --chat "What is the capital of France?"
  lmcli explain attention -o map.html "The cat sat on the mat."
"""


@click.group(cls=Subcommands, group="explain", default="label", epilog=EPILOG)
def command() -> None:
    """Show why a text has its label, how sure a model was of each token, or where its attention goes.

    Without one of the commands below, the label of a TEXT, FILE or standard input is explained.
    """
