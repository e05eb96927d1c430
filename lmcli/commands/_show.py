"""Shows what a task makes of each text."""

from __future__ import annotations

from lmcli.commands._records import AnyEngine, Task, work_through
from lmcli.errors import UsageError
from lmcli.render import Renderer
from lmcli.text.inputs import Documents
from lmcli.text.language import identify
from lmcli.types import Notice


def show_each(
    task: Task[AnyEngine], engine: AnyEngine, documents: Documents, renderer: Renderer, markup: bool = False
) -> int:
    """Answer each document in its order; `engine` None where no text needs one. The exit code.

    With `markup` the task is given a web page as it is, else what there is to read on it.

    Of whole documents the first that fails ends the work, of lines and records none. Raises UsageError, with the
    document's name, for one that the checkpoint cannot work on.
    """
    if documents.many:
        return work_through(task, engine, documents, renderer, markup)
    checkpoint = engine.checkpoint.name if engine is not None else ""
    several, whole = documents.several, list(documents)
    texts = [document.text if markup else document.readable for document in whole]
    # What is written is shown as it is written, one text after the other.
    results = task.run_many(engine, texts) if task.answer == "label" else (task.run(engine, text) for text in texts)
    for document, events in zip(whole, results, strict=True):
        if several and task.answer != "label":  # A label has its line, and the name on it.
            renderer.heading(document.title)
        if not (documents.wish.encoding or document.encoding.startswith("utf")):
            renderer.report(Notice(f"{document.title} is read as {document.encoding.upper()}"))
        text = document.text if several and document.inline else None
        try:
            renderer.show(events, task=task.name, checkpoint=checkpoint, file=document.name, input=text)
        except UsageError as error:
            raise UsageError(f"{document.title}: {error.message}", error.hint) from error
    return 0


def language_of(documents: Documents) -> tuple[str, str] | None:
    """The one language the documents are in and stay in, for the choice of a checkpoint; None where it varies.

    Finding it out takes half a second: where the user chose the checkpoint nobody should ask.
    """
    found = {identify(document.readable) for document in documents.first()}
    # However a language is written, it is the same: checkpoints say `zh` of both ways of writing Chinese.
    spoken = {code and code.partition("-")[0] for code in found}
    only = spoken.pop() if len(spoken) == 1 else None
    return (only, only) if only else None
