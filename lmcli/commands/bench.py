"""`lmcli bench`: how fast a checkpoint runs on this machine, beside transformers or llama.cpp where asked for."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from lmcli import bench
from lmcli.bench.plan import MEASURES, Plan
from lmcli.commands._help import Command
from lmcli.commands._options import Lengths, complete_checkpoints, engine_options, output_options

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer

AGAINST = """Run this in turns with lmcli: transformers, llama.cpp, or either with a precision (transformers:float32,
llama.cpp:q8_0); may be given several times."""
EPILOG = """\b
Examples:
  lmcli bench
  lmcli bench smollm2 --against transformers --against llama.cpp:q8_0
  lmcli bench --json ./my-checkpoint > bench.json
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("refs", nargs=-1, metavar="[REF]...", shell_complete=complete_checkpoints)
@click.option("--against", multiple=True, type=click.Choice(bench.NAMES), metavar="NAME", help=AGAINST)
@click.option("--measure", "measures", multiple=True, type=click.Choice(MEASURES), default=MEASURES,
              help="Measure this alone; may be given several times.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns of each side.")
@click.option("--tokens", type=click.IntRange(1), default=64, show_default=True, help="Tokens to decode in each.")
@click.option("--contexts", type=Lengths(), default="32,512", show_default=True, help="Tokens to decode behind.")
@click.option("--prompt-lengths", "prompts", type=Lengths(), default="128,600", show_default=True,
              help="Tokens to prefill.")  # fmt: skip
@click.option("--text", "file", metavar="FILE", help="The text whose summary is an answer.")
@click.option("--text-tokens", type=click.IntRange(1), default=1500, show_default=True,
              help="Tokens of the prompt of an answer.")  # fmt: skip
@click.option("--answer-tokens", type=click.IntRange(1), default=100, show_default=True, help="Tokens of the answer.")
@engine_options
@output_options
def command(refs: tuple[str, ...], file: str | None, engine: EngineChoice, renderer: Renderer, **plan: Any) -> None:
    """Measure how fast the checkpoint REF runs here: lmcli alone, or in turns with others."""
    from lmcli.bench.report import COLUMNS, rows
    from lmcli.text.documents import read_all

    if file:
        plan |= {"text": read_all([file], engine.environment.stdin)[0].text}
    for ref in refs or (None,):
        chosen = replace(engine, flags={**engine.flags, "model": ref}) if ref else engine
        checkpoint, settings = chosen.checkpoint("generate", renderer), chosen.settings
        options = asdict(replace(chosen.options, device=settings.device, dtype=settings.dtype))
        settings.cache_dir.mkdir(parents=True, exist_ok=True)
        report = bench.run(checkpoint, Plan(settings.cache_dir, options=options, **plan), renderer.report)
        if refs[1:]:
            renderer.heading(checkpoint.name)
        renderer.record(report.record(), rows(report), COLUMNS)
