"""The options of `lmcli evaluate` that say which task is measured, and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar, get_args

import click

from lmcli.task_names import EvaluationTask

Command = TypeVar("Command", bound=Callable[..., Any])


def task_options(command: Command) -> Command:
    """--task, and what each task can be told."""
    options = [
        click.option("--task", type=click.Choice(get_args(EvaluationTask)),
                     help="What the examples ask; their columns tell."),
        click.option("--folder", metavar="DIR", type=click.Path(), help="Where the files of SET lie."),
        click.option("--labels", metavar="LABEL,LABEL,…", help="classify: labels to choose from; those of the set."),
        click.option("--length", type=click.Choice(["short", "medium", "long"]), default="medium", show_default=True,
                     help="summarize: about 30, 80 or 200 words."),
        click.option("--form", "layout", type=click.Choice(["paragraph", "bullets", "headline"]), default="paragraph",
                     show_default=True, help="summarize: how it is laid out."),
        click.option("--prompt", metavar="TEXT", help="choose: what stands before the choices, with {text} in it."),
        click.option("--window", metavar="N", type=click.IntRange(2),
                     help="generate: tokens read at once; the context, at most 2,048."),
        click.option("--stride", metavar="N", type=click.IntRange(1),
                     help="generate: tokens by which the window moves on; half of it."),
        click.option("--max-tokens", metavar="N", type=click.IntRange(1), help="Longest answer, in tokens."),
    ]  # fmt: skip
    return reduce(lambda inner, option: option(inner), reversed(options), command)


class Errors(click.ParamType):
    """How many; what follows the option may also be the name of a file, which belongs before it."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not value.isdecimal():
            self.fail(f"'{value}' is no number; write FILE --errors, or --errors 10 FILE", param, ctx)
        return int(value)
