"""`lmcli pretrain`: train a checkpoint from random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from lmcli.commands._help import Command
from lmcli.commands._options import output_options
from lmcli.commands._training_options import data_options, recipe_options, run_options
from lmcli.task_names import PretrainingTask

if TYPE_CHECKING:
    from lmcli.environment import Environment
    from lmcli.render import Renderer

EPILOG = """\b
Examples:
  lmcli tokenizer train --model bpe --size 16000 books/*.txt -o books-tokenizer
  lmcli pretrain --config gpt.json --tokenizer books-tokenizer books/*.txt -o books
  lmcli generate -m books "It was a dark"
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--task", type=click.Choice(get_args(PretrainingTask)), default="generate", show_default=True,
              help="Causal or masked language model, or an encoder-decoder.")  # fmt: skip
@click.option("--config", required=True, metavar="FILE", type=click.Path(),
              help="The architecture: a config.json as transformers writes it.")  # fmt: skip
@click.option("--tokenizer", required=True, metavar="FOLDER", type=click.Path(),
              help="A tokenizer of your own (lmcli tokenizer train), or a checkpoint's.")  # fmt: skip
@data_options
@recipe_options(epochs=10.0, learning_rate=5e-4)
@run_options
@output_options
@click.pass_obj
def command(environment: Environment, config: str, tokenizer: str, renderer: Renderer, **values: Any) -> None:
    """Train a checkpoint from nothing on the texts or examples in FILEs."""
    from lmcli.commands._training import existing, train

    train(environment, renderer, values, config=existing(config), tokenizer=existing(tokenizer))
