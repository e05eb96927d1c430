"""The prompt that every side answers: the summary of a text, asked for as `lmcli summarize` does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmcli.engine.tokenizer import FastTokenizer, Tokenizer
from lmcli.tasks.prompts import summary
from lmcli.tasks.summary_form import Size, SummaryForm
from lmcli.text.language import identify
from lmcli.types import Checkpoint


def write(
    checkpoint: Mapping[str, Any], text: str, tokens: int, answer_tokens: int, trust_remote_code: bool = False
) -> list[int]:
    """At most `tokens` ids: of `text` as much from its beginning as fits beside the instruction.

    More words are asked for than there are tokens in the answer, so that it does not end before.
    """
    known = Checkpoint(**{**checkpoint, "path": Path(checkpoint["path"])})
    tokenizer = _tokenizer(known, trust_remote_code)
    code, whole = identify(text), tokenizer.encode_continuation(text)
    form = SummaryForm(Size(2 * answer_tokens), source=code, language=code)

    def prompt(length: int) -> list[int]:
        kept = text if length >= len(whole) else tokenizer.decode(whole[:length]).rstrip("\ufffd")
        return tokenizer.encode(summary(kept, form, tokenizer.template is not None), think=False)

    length = min(max(tokens - len(prompt(0)), 0), len(whole))
    # Where text and instruction meet tokens may merge or part.
    while len(found := prompt(length)) > tokens and length:
        length = max(length - (len(found) - tokens), 0)
    return found


def _tokenizer(checkpoint: Checkpoint, trust_remote_code: bool) -> Tokenizer:
    """The one that our engine has for this checkpoint."""
    if (checkpoint.path / "tokenizer.json").is_file():
        return FastTokenizer(checkpoint.path)
    # Importing transformers takes seconds.
    from lmcli.engine.transformers_engine import TransformersTokenizer
    from lmcli.engine.transformers_tokenizer import load_tokenizer

    return TransformersTokenizer(load_tokenizer(checkpoint, trust_remote_code), checkpoint.path)
