"""Objects: the rows of JSON that is one value over all its lines, and rows that lie deeper in it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lmcli.errors import InputError
from lmcli.text.records import Row

_BETWEEN = re.compile(r"[\s,]*")
# The array that holds all the data of an object: {"version": "1.1", "data": [{…}, …]}.
_DATA = re.compile(r'"(?:data|rows|examples)"\s*:\s*\[')
_PAIR = re.compile(r"translation|[a-z]{2,3}-[a-z]{2,3}")


def is_one_value(content: str) -> bool:
    """Whether a text is one JSON value, and not one on each of its lines."""
    content = content.lstrip()
    if content.startswith("["):
        return True
    try:
        _, end = json.JSONDecoder().raw_decode(content)
    except (ValueError, RecursionError):
        return "\n" in content and not content.partition("\n")[0].rstrip().endswith("}")
    return "\n" in content[:end] or not content[end:].strip()


def objects(content: str) -> Iterator[Row]:
    """The objects of an array, or of the one that an object has for its data, each with the line it begins in.

    Questions in SQuAD's and in CMRC's form are rows of their own: context, question and answers.
    """
    decoder = json.JSONDecoder()
    position = _beginning(content)
    line, counted = 1, 0
    while True:
        found = _BETWEEN.match(content, position)
        position = found.end() if found else position
        if content[position : position + 1] in ("]", ""):
            return
        line, counted = line + content.count("\n", counted, position), position
        try:
            value, position = decoder.raw_decode(content, position)
        except (ValueError, RecursionError) as error:
            yield Row(line, {}, error=InputError(f"it is not JSON: {error}", "all behind it is lost, too"))
            return
        yield from _unfolded(line, value)


def flat(row: Row) -> Row:
    """A row whose pair of sentences, {"translation": {"en": …, "zh": …}}, lies in fields of its own."""
    for name, value in row.fields.items():
        if _PAIR.fullmatch(name):
            pair = _literal(value) if isinstance(value, str) else value
            if isinstance(pair, Mapping) and pair:
                others = {key: field for key, field in row.fields.items() if key != name}
                return Row(row.line, {**others, **pair}, error=row.error)
    return row


def _literal(text: str) -> Any:
    """What a text in Python's or JSON's notation of a dictionary stands for, else the text."""
    if not text.startswith("{"):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _beginning(content: str) -> int:
    """Where the first object stands."""
    start = len(content) - len(content.lstrip())
    if content[start] == "[":
        return start + 1
    data = _DATA.search(content)
    return data.end() if data else start


def _unfolded(line: int, value: Any) -> Iterator[Row]:
    if not isinstance(value, dict):
        yield Row(line, {}, error=InputError("it is JSON, but no object"))
    elif isinstance(value.get("paragraphs"), list):
        for paragraph in value["paragraphs"]:
            yield from _questions(line, paragraph)
    elif isinstance(value.get("qas"), list):
        yield from _questions(line, value)
    else:
        yield Row(line, value)


def _questions(line: int, paragraph: Any) -> Iterator[Row]:
    """The questions about a text, in the words of SQuAD or of CMRC 2018."""
    paragraph = paragraph if isinstance(paragraph, dict) else {}
    context = paragraph.get("context", paragraph.get("context_text"))
    for asked in paragraph.get("qas") or ():
        question = asked.get("question", asked.get("query_text")) if isinstance(asked, dict) else None
        if not isinstance(context, str) or not isinstance(question, str):
            yield Row(line, {}, error=InputError("one of its questions has no text, or no context"))
            continue
        yield Row(line, {"context": context, "question": question, "answers": asked.get("answers", [])})
