"""`lmcli generate`: the continuation of a prompt, or with --chat an answer to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import (
    draft_option,
    engine_options,
    grammar_options,
    output_options,
    prompt_argument,
    sampling_options,
    timings_option,
)

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.types import SamplingParams

EPILOG = """\b
Examples:
  lmcli generate "Once upon a time"
  lmcli generate --chat "Name three rivers of France"
  git diff | lmcli generate --chat "Write a commit message for this change:"
  lmcli generate --chat --schema person.json "Make up a person"
"""


@click.command(cls=Command, epilog=EPILOG)
@prompt_argument
@click.option("--chat", is_flag=True, help="Answer PROMPT through the chat template instead of continuing it.")
@click.option("--system", metavar="TEXT", help="System message; means --chat.")
@engine_options
@draft_option
@grammar_options
@sampling_options(temperature=0.0)
@timings_option
@output_options
def command(
    prompt: str, chat: bool, system: str | None, engine: EngineChoice, params: SamplingParams, renderer: Renderer
) -> None:
    """Continue PROMPT as it is; text on standard input comes after it.

    Without --max-tokens the answer has 512 tokens at most.
    """
    from lmcli import tasks
    from lmcli.tasks.generate import Generate

    task = Generate(params, chat or system is not None, system)
    opened = engine.open(task.name, renderer)
    result = renderer.show(task.run(opened, prompt), task=task.name, checkpoint=opened.checkpoint.name)
    tasks.check_whole(opened, result, params)
