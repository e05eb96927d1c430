"""`lmcli finetune`: train a checkpoint further on a file of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from lmcli.commands._help import Command
from lmcli.commands._options import complete_checkpoints, output_options
from lmcli.commands._training_options import data_options, recipe_options, run_options
from lmcli.task_names import TrainingTask

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli finetune --task classify -m bert-base reviews.csv -o my-reviews
  lmcli finetune --task chat -m smollm2 --lora 16 conversations.jsonl -o my-chat
  lmcli finetune --task translate -m opus-mt-en-zh --from en --to zh pairs.tsv -o mine
  lmcli finetune --recipe recipe.toml reviews.csv
  lmcli sentiment -m my-reviews "What a lovely day"
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--task", required=True, type=click.Choice(get_args(TrainingTask)), help="What the examples teach.")
@click.option("-m", "--model", required=True, metavar="REF", shell_complete=complete_checkpoints,
              help="Checkpoint to begin with: a short name, a hub id or a folder.")  # fmt: skip
@data_options
@recipe_options(epochs=3.0, learning_rate=None)
@run_options
@output_options
@click.pass_obj
def command(environment: Environment, model: str, renderer: Renderer, **values: Any) -> None:
    """Train a checkpoint further on the examples in FILEs: CSV, TSV, JSONL or, to continue it, plain text.

    A part of the examples is kept for validation, and the checkpoint that does best on it is written.
    """
    from lmcli.commands._training import fetch, train

    train(environment, renderer, values, checkpoint=fetch(environment, model, values, renderer))
