"""`lmcli explain tokens`: how probable each token of an answer or a text was, and what stood against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lmcli.commands._help import Command
from lmcli.commands._options import engine_options, output_options, sampling_options, want_input

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.types import SamplingParams

EPILOG = """\b
Examples:
  lmcli explain tokens "The capital of France is" --max-tokens 8
  lmcli explain tokens --chat "Name a river of France" --rivals 5
  lmcli explain tokens --text essay.txt
  lmcli explain tokens --json --chat "Is 91 a prime?" | jq '.tokens[] | select(.probability < 0.5)'
"""


@click.command(cls=Command, epilog=EPILOG, short_help="Show how probable each token of an answer or a text is.")
@click.argument("prompt", required=False)
@click.option(
    "--text", "file", metavar="FILE", help="Read the text in FILE, behind PROMPT if there is one; write none."
)
@click.option("--chat", is_flag=True, help="Answer PROMPT through the chat template instead of continuing it.")
@click.option("--system", metavar="TEXT", help="System message; means --chat.")
@click.option("--rivals", metavar="N", type=click.IntRange(0, 100), default=3, show_default=True,
              help="Likeliest other tokens to name.")  # fmt: skip
@engine_options
@sampling_options(temperature=0.0)
@output_options
@click.pass_context
def command(
    ctx: click.Context, prompt: str | None, file: str | None, chat: bool, system: str | None, rivals: int,
    engine: EngineChoice, params: SamplingParams, renderer: Renderer,
) -> None:  # fmt: skip
    """Write on from PROMPT and give for each token its probability, its rank and its nearest rivals.

    The probabilities are the model's own, before temperature and filters; the entropy, in bits, says how open the place
    was. With --text a text that is there already is read instead.
    """
    from lmcli.tasks.generate import Generate
    from lmcli.tasks.tokens import Tokens
    from lmcli.text.documents import read_all, read_prompt

    stdin = engine.environment.stdin
    if file is None:
        want_input(ctx, [prompt] if prompt else [])
        asked, given = read_prompt(prompt, stdin), None
    else:
        asked, given = prompt or "", read_all([file], stdin)[0].readable
    task = Tokens(Generate(params, chat or system is not None, system), rivals, given)
    opened = engine.open("generate", renderer)
    renderer.show(
        task.run(opened, asked), task=task.name, checkpoint=opened.checkpoint.name, file=None if file == "-" else file
    )
