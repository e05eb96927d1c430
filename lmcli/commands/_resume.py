"""Goes on with a file of answers: what it holds is passed over, what is new is added."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from lmcli.commands._answers import own_fields
from lmcli.errors import LmcliError, UsageError
from lmcli.text.inputs import Documents
from lmcli.text.resume import Finished, agrees, finished


def form_of_answers(documents: Documents) -> str:
    """The form of the file to go on with: by its name, else that of the records."""
    name = documents.wish.resume or ""
    wanted = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}.get(Path(name).suffix.lower())
    known = "jsonl" if documents.wish.json or documents.form in (None, "lines") else str(documents.form)
    if wanted not in (known, "jsonl", None):
        raise UsageError(
            f"{name} cannot be {str(wanted).upper()}: the answers are {known.upper()}", "name it OUT.jsonl"
        )
    return wanted or known


def pass_over(documents: Documents, form: str, columns: Sequence[str]) -> Finished:
    """What the file to go on with holds; `documents` are those that it does not.

    Raises UsageError where it holds the answers to others.
    """
    name = documents.wish.resume or ""
    if any(_same(name, file) for file in documents.files):
        raise UsageError(f"{name} is what the texts are read from", "name another file: --resume OUT.jsonl")
    found = finished(name, form)
    passed = deque(islice(documents, found.count), maxlen=1)
    header = form == "jsonl" or found.columns in ((), tuple(columns))
    if header and (not found.count or (documents.passed == found.count and agrees(found.last, own_fields(passed[0])))):
        return found
    raise UsageError(
        f"{name} holds the answers to other texts, or to others before them",
        "name a new file, or the one that this very command began",
    )


@contextmanager
def appended(name: str, size_bytes: int) -> Iterator[Callable[[str], None]]:
    """Writes behind the first `size_bytes` of a file, each time whole; what is behind them was left half written."""
    try:
        file = open(Path(name).expanduser(), "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _unwritable(name, error) from None

    def write(text: str) -> None:
        try:
            file.write(text.encode())
        except OSError as error:
            raise _unwritable(name, error) from None

    with file:
        file.truncate(size_bytes)
        yield write


def _same(name: str, other: str) -> bool:
    try:
        return Path(name).expanduser().samefile(Path(other).expanduser())
    except OSError:
        return False


def _unwritable(name: str, error: OSError) -> LmcliError:
    return LmcliError(f"{name} cannot be written: {error.strerror or error}", "name another file: --resume OUT.jsonl")
