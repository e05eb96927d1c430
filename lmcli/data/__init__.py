"""Data: files of examples to train on and to measure by, read whole and checked before they are used."""

from lmcli.data.examples import USUAL, BrokenRow, Columns, Example, Place
from lmcli.data.reading import Reading, read, read_examples
from lmcli.data.splitting import split

__all__ = [
    "USUAL", "BrokenRow", "Columns", "Example", "Place", "Reading", "read",
    "read_examples", "split",
]  # fmt: skip
