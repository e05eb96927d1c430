"""Converts a GGUF file of the Llama family into a checkpoint folder, once: `convert` is the door to numpy and
gguf."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lmcli.errors import LmcliError
from lmcli.types import Event


def convert(
    source: Path,
    folder: Path,
    report: Callable[[Event], None] = lambda event: None,
    origin: str | None = None,
) -> Path:
    """Write `source` as a checkpoint into `folder` and return it; a folder that is already there is left as
    it is.

    `origin` says in the folder's README where the weights came from. Two processes may call it at once.
    Raises CheckpointError for a file that is damaged, or of an architecture or quantization that is not
    known.
    """
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.exists():
            _convert(source, folder, report, origin or str(source))
    return folder


def _convert(source: Path, folder: Path, report: Callable[[Event], None], origin: str) -> None:
    # Built beside its place and then renamed, so that a folder that exists is whole.
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(source, part, report, origin)
        part.chmod(0o755)
        part.rename(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise LmcliError(f"the disk of {folder.parent} is full", "free some space: lmcli list, lmcli rm") from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(source: Path, folder: Path, report: Callable[[Event], None], origin: str) -> None:
    from lmcli.checkpoints.gguf import config, file, tokenizer, weights

    gguf = file.read(source)
    dtype = weights.dtype_of(gguf)
    fields = config.config(gguf, weights.frequencies(gguf), dtype)
    tokenizer.tokenizer(gguf).save(str(folder / "tokenizer.json"))
    _json(folder / "tokenizer_config.json", tokenizer.tokenizer_config(gguf))
    _json(folder / "config.json", fields)
    _json(folder / "generation_config.json", config.generation_config(gguf))
    license = gguf.get("general.license")
    front = f"---\nlicense: {license}\n---\n" if isinstance(license, str) else ""
    title = gguf.get("general.name", source.stem)
    text = f"{front}\n# {title}\n\nConverted by lmcli from {origin} ({source.name}); weights in {dtype}.\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    weights.write(gguf, folder / "model.safetensors", dtype, report)


def _json(path: Path, fields: object) -> None:
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
