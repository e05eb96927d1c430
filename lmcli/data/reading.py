"""Reading: the examples of a file, whatever it is called and however its columns are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmcli.data import chats
from lmcli.data.choices import Choices, choices_in
from lmcli.data.columns import Chooser
from lmcli.data.examples import USUAL, BrokenRow, Columns, Example, Place
from lmcli.data.files import Table, read_file
from lmcli.errors import InputError, UsageError
from lmcli.task_names import ExampleTask
from lmcli.text.records import damage

Fields = Mapping[str, Any]
Languages = tuple[str, str]
Maker = Callable[[Fields, Place], Example]


@dataclass(frozen=True)
class Reading:
    """What files hold: their examples in order, the rows that are none, and the columns that were taken, by file."""

    examples: list[Example]
    broken: list[BrokenRow]
    columns: Mapping[str, Columns]


def read_examples(
    files: Sequence[str],
    task: ExampleTask,
    columns: Columns = USUAL,
    languages: Languages | None = None,
    both_ways: bool = False,
    encoding: str | None = None,
) -> list[Example]:
    """The examples of `files`, all of them. Raises what `read` raises, and InputError for a row that is no example."""
    reading = read(files, task, columns, languages, both_ways, encoding)
    refuse_broken(reading.broken)
    return reading.examples


def refuse_broken(broken: Sequence[BrokenRow]) -> None:
    """Raises InputError where there is a broken row."""
    if broken:
        more = f", nor can {len(broken) - 1:,} more rows" if len(broken) > 1 else ""
        raise InputError(f"{broken[0].place} cannot be read{more}: {broken[0].reason}", "mend or remove the row")


def read(
    files: Sequence[str],
    task: ExampleTask,
    columns: Columns = USUAL,
    languages: Languages | None = None,
    both_ways: bool = False,
    encoding: str | None = None,
) -> Reading:
    """The examples of CSV, TSV, JSON, JSONL and Parquet files; for generate and masked plain texts, too, each file one.

    A file may be packed with gzip. `languages` are those of source and target, by default those that two columns are
    named after; with `both_ways` each pair is an example in either direction. Raises InputError for a file that cannot
    be read, UsageError where a column is missing or several could be meant.
    """
    examples: list[Example] = []
    broken: list[BrokenRow] = []
    taken: dict[str, Columns] = {}
    for name in files:
        found = read_file(name, encoding, whole=task in ("generate", "masked"))
        if isinstance(found, str):
            examples.append(_whole(name, found, task))
            continue
        reading = examples_of(found, task, columns, languages, both_ways)
        examples += reading.examples
        broken += reading.broken
        taken |= reading.columns
    return Reading(examples, broken, taken)


def examples_of(
    table: Table,
    task: ExampleTask,
    columns: Columns = USUAL,
    languages: Languages | None = None,
    both_ways: bool = False,
) -> Reading:
    """The examples of one file's rows, as `read` has them."""
    taken, spoken = Chooser(table.name, table.columns, columns).choose(task, languages)
    if both_ways and not spoken:
        raise UsageError("for both ways the languages must be known", "name them: --from en --to zh")
    examples: list[Example] = []
    broken: list[BrokenRow] = []
    for one in _examples(table, _maker(table, task, taken, spoken), both_ways):
        if isinstance(one, Example):
            examples.append(one)
        else:
            broken.append(one)
    if not examples and not broken:
        raise InputError(f"{table.name} has no rows", "name a FILE with examples in it")
    return Reading(examples, broken, {table.name: taken})


def _whole(name: str, content: str, task: ExampleTask) -> Example:
    if task not in ("generate", "masked"):
        raise UsageError(
            f"{name} is a text, not a table of examples", "give CSV, TSV or JSONL with a column for each part"
        )
    if error := damage(content):
        raise InputError(f"{name}: {error.message}", error.hint)
    return Example(content, place=Place(name, 1))


def _examples(table: Table, make: Maker, both_ways: bool) -> Iterator[Example | BrokenRow]:
    for row in table.rows:
        place = Place(table.name, row.line)
        try:
            if row.error:
                raise row.error
            example = make(row.fields, place)
        except InputError as error:
            yield BrokenRow(place, error.message)
            continue
        yield example
        if both_ways:
            yield reversed_pair(example)


def reversed_pair(example: Example) -> Example:
    """The translation in the other direction."""
    languages = example.languages and (example.languages[1], example.languages[0])
    return replace(example, text=example.answer, answer=example.text, languages=languages, references=(example.text,))


def _maker(table: Table, task: ExampleTask, columns: Columns, languages: Languages | None) -> Maker:
    """What makes an example of a row's fields, and raises InputError where it cannot."""
    text, answer, second = str(columns.text), columns.answer, columns.second
    if task == "chat":
        return _chat(columns)
    if answer is None:
        return lambda fields, place: Example(_string(fields, text), place=place)
    if task == "choose":
        return _choose(text, answer, choices_in(table.columns, second, table.name))
    if task in ("classify", "score"):
        return lambda fields, place: Example(
            _string(fields, text).strip(), _label(fields, answer), second=_second(fields, second), place=place
        )

    def answered(fields: Fields, place: Place) -> Example:
        references = _references(fields, answer)
        first = references[0] if references else ""
        asked = _second(fields, second)
        return Example(_string(fields, text).strip(), first, (), asked, languages, place, references)

    return answered


def _chat(columns: Columns) -> Maker:
    text, answer = str(columns.text), columns.answer
    more = columns.second or ("input" if text != "input" else None)

    def conversation(fields: Fields, place: Place) -> Example:
        system = _optional(fields, "system")
        if answer is None:
            said = chats.messages(fields.get(text), system)
        else:
            prompt = "\n\n".join(filter(None, (_string(fields, text), _optional(fields, more))))
            said = chats.exchange(prompt, _string(fields, answer), system)
        for message in said:
            _whole_characters(message.content)
        return Example(messages=said, place=place)

    return conversation


def _choose(text: str, answer: str, read: Callable[[Fields], Choices]) -> Maker:
    def chosen(fields: Fields, place: Place) -> Example:
        choices = read(fields)
        right = choices.named(fields.get(answer))
        return Example(_string(fields, text).strip(), right, place=place, choices=choices.texts)

    return chosen


def _optional(fields: Fields, name: str | None) -> str:
    return _string(fields, name) if name and fields.get(name) else ""


def _second(fields: Fields, name: str | None) -> str | None:
    return None if name is None else _string(fields, name).strip()


def _string(fields: Fields, name: str) -> str:
    """A field's text, empty where it is null."""
    value = fields.get(name, _ABSENT)
    if isinstance(value, str):
        return _whole_characters(value)
    if value is None:
        return ""
    raise InputError(f"it has no field '{name}'" if value is _ABSENT else f"its field '{name}' holds no text")


_ABSENT = object()


def _whole_characters(text: str) -> str:
    try:
        text.encode()  # Of all ways to find a lone surrogate the fastest.
    except UnicodeEncodeError:
        raise damage(text) or InputError("it holds half a character") from None
    return text


def _label(fields: Fields, name: str) -> str:
    """A field's label; a number's or a truth value's is how JSON writes it, 4.0 the same as 4."""
    value = fields.get(name)
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return f"{value:.15g}"
    return _string(fields, name).strip()


def _references(fields: Fields, name: str) -> tuple[str, ...]:
    """All the right answers: a text, a list of them, or SQuAD's {"text": […], "answer_start": […]}."""
    value = fields.get(name)
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    if not isinstance(value, list):
        return tuple(filter(None, (_string(fields, name).strip(),)))
    texts = [one.get("text") if isinstance(one, Mapping) else one for one in value]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"its field '{name}' holds no texts")
    return tuple(dict.fromkeys(_whole_characters(str(text)).strip() for text in texts))
