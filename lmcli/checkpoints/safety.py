"""What may be loaded: picks the files a checkpoint needs from a listing, refuses pickles and unasked-for
code."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path

from lmcli.checkpoints.checkpoint import INDEX, WEIGHTS, read_config
from lmcli.errors import CheckpointError, UnsafeCheckpoint

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_TEXTS = (
    "*.json", "*.model", "*.spm", "*.tiktoken", "*.jinja", "vocab*.txt", "merges*.txt", "dict*.txt", "bpe.codes",
    "README.md",
)  # fmt: skip
# JSON of other formats' weights and of the training run.
_OTHERS = (
    "*.index.json", "flax_*", "tf_*", "trainer_state.json", "*_results.json", "training_args*", "params.json",
    "consolidated*", "quantize_config_*",
)  # fmt: skip


def needed(name: str, files: Collection[str], *, trust_remote_code: bool = False) -> list[str]:
    """The files of a repository's listing that a checkpoint needs: weights last, so that small errors come
    first.

    Only the repository's top is looked at: folders hold other formats and duplicates (`onnx/`, `original/`).
    Raises UnsafeCheckpoint for weights in pickles alone, CheckpointError where nothing can be used.
    """
    top = {file for file in files if "/" not in file}
    weights = _weights(name, top)
    if "config.json" not in top:
        raise CheckpointError(
            f"{name} is not a checkpoint for transformers: config.json is missing",
            "look for the repository of the original checkpoint",
        )
    texts = [file for file in top if _matches(file, _TEXTS) and not _matches(file, _OTHERS)]
    code = [file for file in top if file.endswith(".py")] if trust_remote_code else []
    return [*sorted(texts), *sorted(code), *weights]


def remote_code(path: Path) -> str | None:
    """The Python file that the checkpoint in `path` asks to run, or None.

    A config often names such code (`auto_map`) for an architecture that transformers has meanwhile taken in.
    Only transformers knows, so nothing is refused here: the engine asks this once it lacks the architecture.
    """
    classes = read_config(path).get("auto_map") or {}
    if not isinstance(classes, dict):
        raise CheckpointError(f"{path / 'config.json'}: auto_map is no table", "copy or download the folder again")
    reference = next((value for value in classes.values() if isinstance(value, str)), None)
    return f"{reference.split('--')[-1].rpartition('.')[0]}.py" if reference else None


def lacks_code(path: Path) -> bool:
    """Whether the checkpoint asks to run code that was not fetched with it."""
    file = remote_code(path)
    return file is not None and not (path / file).exists()


def refuse_remote_code(path: Path, name: str) -> UnsafeCheckpoint:
    """The error for a checkpoint that cannot run without its own code."""
    file = remote_code(path) or "its own code"
    return UnsafeCheckpoint(
        f"{name} needs code it brings with it ({file}), which could do anything on this machine",
        "read that code first; if you trust it, add --trust-remote-code",
    )


def _weights(name: str, top: set[str]) -> list[str]:
    if WEIGHTS in top:
        return [WEIGHTS]
    shards = sorted(file for file in top if _SHARD.fullmatch(file))
    if shards and INDEX in top:
        return [INDEX, *shards]
    raise _unusable(name, top)


def _unusable(name: str, top: set[str]) -> CheckpointError:
    pickles = sorted(file for file in top if _matches(file, _PICKLES) and "training_args" not in file)
    if "adapter_config.json" in top:
        return CheckpointError(
            f"{name} is an adapter, not a whole checkpoint", "merge it into its base checkpoint first"
        )
    if pickles:
        return UnsafeCheckpoint(
            f"{name} holds its weights as pickles alone ({pickles[0]}), which can run code when they are loaded",
            f"look for a conversion on the hub, then: lmcli pull {name}@refs/pr/N; or choose: lmcli list --all",
        )
    if any(file.endswith(".gguf") for file in top):
        return CheckpointError(
            f"{name} holds GGUF files alone",
            "download the one you want and name it: -m FILE.gguf; or pull the original checkpoint",
        )
    return CheckpointError(f"{name} holds no safetensors weights", "choose a checkpoint that does: lmcli list --all")


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)
