"""`lmcli chat`: a conversation on a terminal, one answer in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from lmcli.commands._help import Command
from lmcli.commands._options import draft_option, engine_options, output_options, sampling_options
from lmcli.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.protocols import CausalEngine
    from lmcli.render import Renderer
    from lmcli.types import Checkpoint, SamplingParams

EPILOG = """\b
Examples:
  lmcli chat
  lmcli chat --system "Answer in French." "Who was Molière?"
  git diff | lmcli chat "Write a commit message for this change." > message.txt
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="System message: who the model is to be.")
@engine_options
@draft_option
@sampling_options(temperature=0.2, top_p=0.9)
@output_options
@click.pass_context
def command(
    ctx: click.Context, prompt: str | None, system: str | None, engine: EngineChoice,
    params: SamplingParams, renderer: Renderer,
) -> int:  # fmt: skip
    """Chat with a model; PROMPT is the first question.

    On a terminal the conversation goes on until Ctrl-D, and /help lists what else a line may say. In a pipe
    PROMPT and what standard input holds are one question, answered once.
    """
    from lmcli import repl, tasks
    from lmcli.repl.session import Session
    from lmcli.text.documents import read_prompt
    from lmcli.types import Conversation

    environment = engine.environment
    as_json = ctx.params["json_"] or ctx.params["jsonl"]
    if environment.stdin.isatty() and environment.stdout.isatty() and not as_json:
        checkpoint, draft = _instruct(engine.checkpoint("chat", renderer)), engine.draft(renderer)
        return repl.run(
            Session(checkpoint, params).with_system(system or None),
            lambda report: cast("CausalEngine", engine.load(checkpoint, report, draft)),
            environment,
            renderer.report,
            history=engine.settings.state_dir / "history",
            question=prompt,
            color=not ctx.params["no_color"],
        )
    if environment.stdin.isatty() and prompt in (None, "", "-"):
        raise UsageError("there is nothing to answer", "lmcli chat PROMPT, or text on standard input")
    conversation = Conversation.ask(read_prompt(prompt, environment.stdin), system)
    checkpoint, draft = _instruct(engine.checkpoint("chat", renderer)), engine.draft(renderer)
    with renderer.status(f"loading {checkpoint.name} …"):
        loaded = cast("CausalEngine", engine.load(checkpoint, renderer.report, draft))
    events = tasks.with_ending(loaded, loaded.stream(conversation, params), params.max_tokens)
    renderer.show(events, task="chat", checkpoint=checkpoint.name)
    return 0


def _instruct(checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint`, if it can hold a conversation. Raises CheckpointError with the command for its kind."""
    commands = {
        "seq2seq": "translate -m {} or lmcli summarize -m {}", "classifier": "sentiment -m {}",
        "qa": "ask -m {} QUESTION FILE",
    }  # fmt: skip
    if checkpoint.kind != "causal":
        what, command = f"is no chat model but a {checkpoint.kind} checkpoint", commands[checkpoint.kind]
    elif not checkpoint.instruct:
        what, command = "is a base checkpoint: it continues text and holds no conversation", "generate -m {}"
    else:
        return checkpoint
    raise CheckpointError(f"{checkpoint.name} {what}", f"lmcli {command.replace('{}', checkpoint.name)}")
