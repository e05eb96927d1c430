"""`lmcli classify`: which of your labels a text has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._labels import explain_option, fail_on_option
from lmcli.commands._options import engine_options, output_options, texts_argument

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.inputs import Documents

EPILOG = """\b
Examples:
  lmcli classify --labels sports,politics,science article.txt
  lmcli classify --labels spam,ham --lines --jsonl < messages.txt
  lmcli classify --labels-file topics.tsv --multi --threshold 0.7 *.txt
"""


@click.command(cls=Command, epilog=EPILOG)
@texts_argument
@click.option("--labels", metavar="LABEL,LABEL,…", help="Labels to choose from; a classifier brings its own.")
@click.option("--labels-file", metavar="FILE", type=click.Path(),
              help="A label a line, perhaps with a tab and what it stands for.")  # fmt: skip
@click.option("--multi", is_flag=True, help="Judge each label on its own: several may hold, or none.")
@click.option("--threshold", metavar="P", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="With --multi, the probability above which a label holds.")  # fmt: skip
@click.option("--hypothesis", metavar="TEXT", help="Sentence about the text, with {label} in it.")
@explain_option
@fail_on_option
@engine_options
@output_options
def command(
    documents: Documents, labels: str | None, labels_file: str | None, engine: EngineChoice, renderer: Renderer,
    fail_on: tuple[str, ...], **how: Any,
) -> int:  # fmt: skip
    """Choose for each TEXT, or FILE, or standard input the one of your labels that fits, and say how sure.

    An argument that names a file is read. Several texts give a line each: label, probability and the text.
    """
    from lmcli.commands._labels import label_each, read_labels
    from lmcli.commands._show import language_of
    from lmcli.tasks.classify import Classify

    task = Classify(read_labels(labels, labels_file), **how)
    languages = None if engine.chosen(task.name) else language_of(documents)
    opened = engine.open(task.name, renderer, languages)
    return label_each(task, opened, documents, renderer, fail_on)
