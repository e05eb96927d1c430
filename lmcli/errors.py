"""The errors a user can meet, each with what is wrong, the way out and its exit code.

    LmcliError                       1  failure
    ├── UsageError                   2  the command line asks for something that does not exist
    ├── CheckpointError              3  a checkpoint cannot be used
    │   ├── CheckpointNotFound       3  it is not here
    │   ├── UnsafeCheckpoint         3  loading it could run code (pickles, remote code)
    │   └── NoAnswer                 3  it makes nothing of one text, and perhaps something of another
    ├── NetworkError                 4  the hub or the package index did not answer
    ├── InputError                   5  a text is unreadable
    │   └── InputTooLong             5  a text does not fit the context
    └── OutOfMemory                  6  the device's memory does not hold the checkpoint

130 is Ctrl-C, and a pipe that closed early is no error at all. Any other exception is a bug of ours and
keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class LmcliError(Exception):
    """What went wrong in one line; `hint` is the way out, usually a command to run.

    `finished` holds the JSON records of the texts that were done before one failed.
    """

    exit_code = 1
    finished: Sequence[Mapping[str, Any]] = ()

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LmcliError):
    exit_code = 2


class CheckpointError(LmcliError):
    exit_code = 3


class CheckpointNotFound(CheckpointError):
    pass


class UnsafeCheckpoint(CheckpointError):
    pass


class NoAnswer(CheckpointError):
    pass


class NetworkError(LmcliError):
    exit_code = 4


class InputError(LmcliError):
    exit_code = 5


class InputTooLong(InputError):
    pass


class OutOfMemory(LmcliError):
    exit_code = 6


# Of these the cause is one text: of any other error the next text would meet it as well.
OF_ONE_TEXT = (InputError, NoAnswer, UsageError)
