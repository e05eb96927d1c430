"""A reader: a language model that is given documents, or the passages of them that fit, and a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lmcli import tasks
from lmcli.errors import InputTooLong
from lmcli.protocols import CausalEngine
from lmcli.tasks.ask_prompt import ask
from lmcli.tasks.stopping import without_loops
from lmcli.text import passages
from lmcli.text.documents import Document
from lmcli.text.passages import Chosen, Passage
from lmcli.types import Event, Prompt, SamplingParams

PASSAGE_TOKENS = 256  # some ten sentences, so that what "it" means stands beside it
_MAX_TOKENS, _MOST_PASSAGES = 256, 8
_SMALLEST = 32  # tokens; a shorter passage says nothing on its own


class Reader:
    """`room` is how many tokens of text fit beside the instruction, the question and the answer."""

    def __init__(self, engine: CausalEngine, question: str, params: SamplingParams) -> None:
        """Raises InputTooLong where there is no room for a passage."""
        self._engine, self._question = engine, question
        # Half of a small context is the text's.
        longest = params.max_tokens or min(_MAX_TOKENS, engine.context_length // 2)
        # A base checkpoint goes on with a question of its own.
        stop = params.stop if engine.checkpoint.instruct or params.grammar else (*params.stop, "\n")
        self._params = replace(params, max_tokens=longest, stop=stop)
        # Sixteen tokens for what may merge or part where text and instruction meet, and for an empty thought.
        self.room = engine.context_length - engine.count(self._prompt("")) - longest - 16
        if self.room < _SMALLEST:
            raise InputTooLong(
                f"the context of {engine.checkpoint.name} holds {engine.context_length} tokens: beside the question "
                f"and its answer {max(self.room, 0)} are left for the text",
                "ask a shorter question, lower --max-tokens, or choose a checkpoint with a longer context",
            )

    def choose(self, documents: Sequence[Document], most: int | None) -> list[Chosen] | None:
        """The passages to read, at most `most`; None where the whole text fits and nobody asked for fewer."""
        count = self._engine.count
        if most is None and count(_laid_out(passages.whole(documents))) <= self.room:
            return None
        cut = passages.cut(documents, min(PASSAGE_TOKENS, max(self.room // 2, _SMALLEST)), count)
        return passages.choose(cut, self._question, most or _MOST_PASSAGES, self.room, count)

    def answer(self, read: Sequence[Passage], asked: int | None) -> Iterator[Event]:
        """The answer as it is written; where it was cut before the `asked` tokens a Notice says so."""
        prompt, count = self._prompt(_laid_out(read)), self._engine.count
        events = self._engine.stream(prompt, self._params)
        if self._params.grammar:
            return events
        events = tasks.with_ending(self._engine, events, asked)
        return without_loops(events, "the model began to repeat itself: the answer ends there", count(prompt), count)

    def _prompt(self, text: str) -> Prompt:
        return ask(text, self._question, self._engine.checkpoint.instruct)


def _laid_out(read: Sequence[Passage]) -> str:
    """The passages below the names of their files, where there are several; … stands for what was left out."""
    several = len({id(passage.document) for passage in read}) > 1
    text, before = "", None
    for passage in read:
        piece = passage.text
        if before is None or passage.document is not before.document:
            text = text.rstrip() + "\n\n" + (f"{passage.document.title}:\n" if several else "")
        elif passage.start > before.end:
            text, piece = text.rstrip() + "\n…\n", piece.lstrip("\r\n")
        text, before = text + piece, passage
    return text.strip("\r\n")
