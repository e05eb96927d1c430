"""Reads what an answer is to follow, and refuses it before any checkpoint is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from lmcli import engine
from lmcli.errors import UsageError
from lmcli.text.documents import read_file
from lmcli.types import Grammar

_KINDS: dict[str, Literal["json", "regex", "lark"]] = {"--schema": "json", "--regex": "regex", "--grammar": "lark"}


def read_grammar(given: Mapping[str, str], stop: Sequence[str]) -> Grammar:
    """The grammar that one of the options names; a schema may stand on the command line itself.

    Raises InputError for a file that cannot be read, UsageError for a grammar that nothing can follow.
    """
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} do not go together", "give one of them")
    (option, value), *_ = given.items()
    if stop:
        raise UsageError(f"--stop would cut what {option} asks for", "leave out one of them")
    inline = option == "--regex" or (option == "--schema" and value.lstrip().startswith("{"))
    grammar = Grammar(_KINDS[option], value if inline else read_file(value).text)
    try:
        engine.check_grammar(grammar)
    except UsageError as error:
        raise UsageError(error.message if inline else f"{value}: {error.message}", error.hint) from error
    return grammar
