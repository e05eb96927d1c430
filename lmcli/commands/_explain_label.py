"""`lmcli explain label`: which words of a text carry its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lmcli.commands._help import Command
from lmcli.commands._options import detailed, engine_options, output_options, texts_argument

if TYPE_CHECKING:
    from lmcli.commands._engine import EngineChoice
    from lmcli.render import Renderer
    from lmcli.text.inputs import Documents

EPILOG = """\b
Examples:
  lmcli explain "The food was wonderful but it took an hour."
  lmcli explain --method integrated-gradients -m distilbert-sst2 review.txt
  lmcli explain --labels sports,politics,science --why politics article.txt
  lmcli explain --check --json review.txt
"""
METHODS = ("occlusion", "integrated-gradients")


@click.command(cls=Command, epilog=EPILOG, short_help="Show what each word adds to the probability of a label.")
@texts_argument
@click.option("--task", "kind", type=click.Choice(["sentiment", "classify"]),
              help="What the text is judged by.  [default: classify with --labels, else sentiment]")  # fmt: skip
@click.option("--labels", metavar="LABEL,LABEL,…", help="Labels to choose from; a classifier brings its own.")
@click.option("--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True,
              help="How words are weighed; gradients take a classifier.")  # fmt: skip
@click.option("--why", "label", metavar="LABEL", help="Weigh the words for LABEL, not for the likeliest.")
@click.option("--check", is_flag=True, help="Take the heaviest words away, and as many random ones.")
@detailed
@engine_options
@output_options
def command(
    documents: Documents, kind: str | None, labels: str | None, engine: EngineChoice, renderer: Renderer, **how: Any
) -> int:
    """Show what each word of TEXT, FILE or standard input adds to the probability of its label.

    Occlusion leaves each word out once and works with every checkpoint. Integrated gradients take a classifier with its
    own labels, and always some fifty passes.
    """
    from lmcli.commands._labels import label_each, read_labels
    from lmcli.commands._show import language_of
    from lmcli.tasks.classify import Classify
    from lmcli.tasks.explain import Explain
    from lmcli.tasks.sentiment import Sentiment

    inner = Classify(read_labels(labels, None)) if (kind or labels) not in (None, "sentiment") else Sentiment()
    languages = None if engine.chosen(inner.name) else language_of(documents)
    opened = engine.open(inner.name, renderer, languages)
    return label_each(Explain(inner, **how), opened, documents, renderer, ())
