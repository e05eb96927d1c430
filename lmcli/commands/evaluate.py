"""`lmcli evaluate`: how good a checkpoint is, by a file of examples or by one of the field's sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._evaluation_options import Errors, task_options
from lmcli.commands._help import Command
from lmcli.commands._options import column_options, complete_checkpoints, engine_options, output_options

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli evaluate reviews.csv --errors
  lmcli evaluate --task translate -m opus-mt-en-zh pairs.tsv
  lmcli evaluate -m my-reviews --compare bert-base --json sst2
  lmcli evaluate --task generate -m smollm2 book.txt
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[FILE|SET]...")
@task_options
@column_options
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Measure by N examples, drawn by the seed.")
@click.option("--seed", metavar="N", type=int, default=0, show_default=True, help="The same seed draws the same.")
@click.option("--resamples", metavar="N", type=click.IntRange(0), default=1000, show_default=True,
              help="Sets drawn anew for intervals and tests; 0 finds none.")  # fmt: skip
@click.option("--compare", metavar="REF", shell_complete=complete_checkpoints,
              help="Measure this checkpoint too, and test whether the two differ.")  # fmt: skip
@click.option("--errors", metavar="[N]", type=Errors(), is_flag=False, flag_value="10", default=0,
              help="Show the N answers most worth a look; 10 where no N is given.")  # fmt: skip
@click.option("--predictions", metavar="OUT", type=click.Path(), help="Write every answer to OUT, as JSONL.")
@click.option("--sets", is_flag=True, help="List the sets that are known by name.")
@engine_options
@output_options
def command(
    names: tuple[str, ...], errors: int, predictions: str | None, compare: str | None, sets: bool,
    engine: EngineChoice, renderer: Renderer, **values: Any,
) -> None:  # fmt: skip
    """Measure a checkpoint by the examples in each FILE, or by a SET known by name, and say how sure the figures are.

    What is measured is what lmcli's own commands answer. The task follows from the columns, or is named by --task.
    """
    from lmcli.commands._evaluating import Telling, list_sets, run

    if sets:
        list_sets(renderer)
        return
    if not names:
        raise click.exceptions.NoArgsIsHelpError(click.get_current_context())
    run(names, values, compare, engine, Telling(errors, predictions), renderer)
