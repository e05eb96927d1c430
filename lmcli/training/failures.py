"""Failures: what the machine lacks for a run, memory or disk, told in one line with the way out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from lmcli.errors import LmcliError, OutOfMemory
from lmcli.training.plan import Plan

# torch's CPU allocator raises a plain RuntimeError, the GPU's a subclass of it.
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
# What the libraries that write weights and the optimizer's state say; torch tells no cause.
_NO_SPACE = ("No space left", "Disk quota exceeded", "PytorchStreamWriter failed", "unexpected pos")


@contextmanager
def failures(plan: Plan) -> Iterator[None]:
    """Raises OutOfMemory, and LmcliError for a folder that cannot be written to, in place of what libraries raise."""
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory(plan) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(plan) from error
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise
        raise LmcliError(f"cannot write {plan.folder}: {error.strerror}", "write elsewhere: -o FOLDER") from error
    except (RuntimeError, SafetensorError) as error:
        if any(words in str(error) for words in _NO_MEMORY):
            raise _out_of_memory(plan) from error
        if any(words in str(error) for words in _NO_SPACE):
            raise _disk_full(plan) from error
        raise


def _out_of_memory(plan: Plan) -> OutOfMemory:
    batch = "--batch-tokens" if plan.recipe.batch_tokens else "--batch-size"
    return OutOfMemory(
        "the run does not fit into memory",
        f"begin anew with --force and half the {batch} (with --accumulation 2 it comes to the same), --lora 16, "
        "or a smaller --max-length",
    )


def _disk_full(plan: Plan) -> LmcliError:
    return LmcliError(
        f"the disk of {plan.folder} is full", "free some space, and go on with the same command and --resume"
    )
