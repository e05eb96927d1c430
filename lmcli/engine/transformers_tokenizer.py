"""transformers' tokenizer of a checkpoint, and what it says where it cannot load something."""

from __future__ import annotations

import re
import warnings
from typing import Any, NoReturn

import transformers

from lmcli.checkpoints import safety
from lmcli.errors import CheckpointError
from lmcli.types import Checkpoint


def load_tokenizer(checkpoint: Checkpoint, trust_remote_code: bool = False) -> Any:
    """As transformers finds its class. Raises UnsafeCheckpoint, CheckpointError."""
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers advises developers; the user can do nothing about it.
            return transformers.AutoTokenizer.from_pretrained(checkpoint.path, **options)
    except Exception as error:  # Whatever goes wrong in there is about this checkpoint.
        refuse(checkpoint, error)


def refuse(checkpoint: Checkpoint, error: Exception) -> NoReturn:
    """Raise what the user is told of transformers' `error`; running out of memory stays what it is."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
        raise error
    if "trust_remote_code" in str(error):
        raise safety.refuse_remote_code(checkpoint.path, checkpoint.name) from error
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, ImportError):
        # transformers says, in one way or another, how to install what quantized weights need.
        command = re.search(r"pip install '?([\w.>=-]*\w)", reason)
        message = f"{checkpoint.name} needs a library that is not installed: {reason}"
        way_out = f"install it: pip install '{command[1]}'" if command else "install it"
    else:
        message = f"transformers cannot load {checkpoint.name}: {reason}"
        way_out = "pull it again, or choose another: lmcli list --all"
    raise CheckpointError(message, way_out) from error
