"""The options of `lmcli finetune` and `lmcli pretrain`: the data, the recipe, the run; a recipe file may hold them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import click

from lmcli.commands._options import column_options

Command = TypeVar("Command", bound=Callable[..., Any])


def data_options(command: Command) -> Command:
    """Where in the files the examples are, and which of them validate."""
    return _all(
        command,
        click.option("--validation", metavar="FILE", multiple=True, type=click.Path(),
                     help="Examples to validate by; else a tenth of the others, at most 2,000."),
        click.option("--validation-share", metavar="N", type=click.FloatRange(0), default=None,
                     help="Share, or from 1 on the count, of the examples that validate."),
        column_options,
        click.option("--both-ways", is_flag=True, help="Learn each pair in both directions."),
        click.option("--repeat", metavar="FILE=N", multiple=True, callback=_repeats,
                     help="Go through FILE N times an epoch."),
    )  # fmt: skip


def recipe_options(epochs: float, learning_rate: float | None) -> Callable[[Command], Command]:
    """The fields of Recipe, by name."""
    rate = f"[default: {learning_rate:g}]" if learning_rate else "[default: 5e-5, with --lora 2e-4]"
    options = [
        click.option("--epochs", metavar="N", type=click.FloatRange(0, min_open=True), default=epochs,
                     show_default=True, help="Times through the examples; may be a fraction."),
        click.option("--max-steps", metavar="N", type=click.IntRange(1), help="Steps at most."),
        click.option("--batch-size", metavar="N", type=click.IntRange(1), default=32, show_default=True,
                     help="Examples in a batch, all of like length."),
        click.option("--batch-tokens", metavar="N", type=click.IntRange(1),
                     help="As many examples as hold N tokens, in place of a fixed count."),
        click.option("--accumulation", metavar="N", type=click.IntRange(1), default=1, show_default=True,
                     help="Batches in a step."),
        click.option("--learning-rate", metavar="R", type=click.FloatRange(0, min_open=True), default=learning_rate,
                     help=f"The highest of the run.  {rate}"),
        click.option("--warmup", metavar="SHARE", type=click.FloatRange(0, 1, max_open=True), default=0.06,
                     show_default=True, help="Share of the steps until the learning rate is reached."),
        click.option("--weight-decay", metavar="W", type=click.FloatRange(0), default=0.01, show_default=True,
                     help="Of AdamW."),
        click.option("--max-grad-norm", metavar="N", type=click.FloatRange(0), default=1.0, show_default=True,
                     help="Longer gradients are clipped."),
        click.option("--label-smoothing", metavar="S", type=click.FloatRange(0, 1, max_open=True), default=0.0,
                     help="Share of the probability that goes to the wrong answers."),
        click.option("--class-weights", is_flag=True, help="Weigh rare labels up."),
        click.option("--max-length", metavar="N", type=click.IntRange(8), help="Longest text, in tokens."),
        click.option("--lora", "lora_rank", metavar="RANK", type=click.IntRange(1),
                     help="Train low-rank additions to the weights alone, and merge them."),
        click.option("--patience", metavar="N", type=click.IntRange(1),
                     help="End after N validations without a better one."),
        click.option("--evaluate-every", metavar="STEPS", type=click.IntRange(1),
                     help="Validate, and keep what --resume needs; else after each epoch."),
        click.option("--seed", metavar="N", type=int, default=0, show_default=True,
                     help="The same seed gives the same losses."),
    ]  # fmt: skip
    return lambda command: _all(command, *options)


def run_options(command: Command) -> Command:
    """Where the result goes, whether a run goes on, and what its card says."""
    return _all(
        command,
        click.option("-o", "--output", metavar="NAME", required=True, help="Its name, or a folder to write."),
        click.option("--resume", is_flag=True, help="Go on with a run that was stopped, or begin it."),
        click.option("--force", is_flag=True, help="Replace a trained checkpoint of that name."),
        click.option("--check", is_flag=True, help="Check the data and end."),
        click.option("--recipe", metavar="FILE", is_eager=True, expose_value=False, callback=_read_recipe,
                     type=click.Path(), help="Take options from a TOML file; those given here go before."),
        click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), help="Precision of the products."),
        click.option("--offline", is_flag=True, help="Use what is on this machine; make no request."),
        click.option("--license", metavar="ID", help="Licence of the result, for its card."),
        click.option("--data-license", metavar="TEXT", help="Licence of the data, for its card."),
        click.option("--attribution", metavar="TEXT", help="Whom the data is from, for its card."),
    )  # fmt: skip


def _all(command: Command, *options: Callable[[Any], Any]) -> Command:
    return reduce(lambda inner, option: option(inner), reversed(options), command)


def _repeats(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for value in values:
        file, _, count = value.rpartition("=")
        if not file or not count.isdigit() or int(count) < 1:
            raise click.BadParameter(f"it takes FILE=N, not '{value}'", ctx, option)
        found[file] = int(count)
    return found


def _read_recipe(ctx: click.Context, option: click.Parameter, file: str | None) -> None:
    """The file's options become the command's defaults."""
    if file is None:
        return
    from pathlib import Path

    from lmcli.settings import read_toml

    values = {name.replace("-", "_"): value for name, value in read_toml(Path(file)).items()}
    known = {flag.lstrip("-").replace("-", "_"): each.name for each in ctx.command.params for flag in each.opts}
    unknown = next((name for name in values if name not in known), None)
    if unknown:
        raise click.BadParameter(f"{file} has an option that there is none of: {unknown}", ctx, option)
    options = {each.name: each for each in ctx.command.params}
    ctx.default_map = {
        str(known[name]): _checked(ctx, options[known[name]], f"{file}: {name.replace('_', '-')}", value)
        for name, value in values.items()
    }


def _checked(ctx: click.Context, option: click.Parameter, name: str, value: Any) -> Any:
    """A value of a recipe as click takes one; click itself would stumble over a list, and cut 4.5 to 4."""
    many = option.multiple if isinstance(option, click.Option) else option.nargs == -1
    if many:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in values):
            raise click.BadParameter(f"{name} takes a text, or a list of texts", ctx, option)
        return values
    if isinstance(value, list | dict):
        raise click.BadParameter(f"{name} takes one value", ctx, option)
    if isinstance(option.type, click.types.IntParamType) and isinstance(value, bool | float):
        raise click.BadParameter(f"{name} takes a whole number", ctx, option)
    return value
