"""`lmcli tokenizer`: make a vocabulary."""

from __future__ import annotations

import click

from lmcli.commands._subcommands import Subcommands

EPILOG = """\b
Examples:
  lmcli tokenizer train --model bpe --size 16000 books/*.txt -o books-tokenizer
  lmcli tokenizer fit ./minilm reviews.csv -o minilm-small --size 16000
"""


@click.group(cls=Subcommands, group="tokenizer", epilog=EPILOG)
def command() -> None:
    """Make a vocabulary for a checkpoint of your own."""
