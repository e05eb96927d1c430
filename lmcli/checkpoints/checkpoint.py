"""Reads what a checkpoint folder is from config.json and the headers of its safetensors files; no torch, no
numpy.

The safetensors format: 8 bytes of little-endian length, that many bytes of JSON, then the tensors' data.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, cast

from lmcli.checkpoints.quantized import parameters, read_bits
from lmcli.errors import CheckpointError, UnsafeCheckpoint
from lmcli.types import Checkpoint, Kind

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
}
# Encoder-decoders by model_type, for the old configs that do not say `is_encoder_decoder`.
_SEQ2SEQ = {
    "bart", "mbart", "marian", "m2m_100", "t5", "mt5", "umt5", "longt5", "pegasus", "pegasus_x", "led",
    "fsmt", "blenderbot", "blenderbot-small", "nllb-moe", "prophetnet", "bigbird_pegasus",
    "encoder-decoder", "plbart",
}  # fmt: skip
_LARGEST_HEADER = 100 << 20
# What the architectures call the number of tokens they have positions for.
_POSITIONS = (
    "max_position_embeddings", "n_positions", "max_encoder_position_embeddings", "max_sequence_length", "max_seq_len",
    "seq_length", "n_ctx", "max_source_positions",
)  # fmt: skip


def read(path: Path, name: str, revision: str | None = None) -> Checkpoint:
    """The checkpoint in the folder `path`. Raises CheckpointError for a config or weights that are missing,
    cut short or of no kind lmcli works with, UnsafeCheckpoint where the weights are pickles alone."""
    config = read_config(path)
    files, bits = weight_files(path), read_bits(config)
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(_parameters(file, bits))
    dtype = f"int{bits}" if bits else counts.most_common(1)[0][0] if counts else "F32"
    return Checkpoint(
        name=name,
        path=path,
        revision=revision,
        model_type=str(config.get("model_type", "unknown")),
        kind=kind_of(config, path),
        dtype=_DTYPES.get(dtype, dtype.lower()),
        num_parameters=counts.total(),
        size_bytes=sum(file.stat().st_size for file in files),
        license=_license(path),
        instruct=_has_template(path),
    )


def read_config(path: Path) -> dict[str, Any]:
    """config.json's fields. Raises CheckpointError where it is missing or broken."""
    file = path / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if (path / "adapter_config.json").exists():
            raise CheckpointError(
                f"{path} is an adapter, not a whole checkpoint", "merge it into its base checkpoint first"
            ) from error
        if (path / ".training").is_dir():
            raise CheckpointError(
                f"{path} holds a training run that was stopped", "go on with the command that began it, and --resume"
            ) from error
        raise CheckpointError(
            f"{path} is not a checkpoint: config.json is missing",
            "name a folder that holds config.json and weights",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {file}: {error}", _again(path)) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"cannot read {file}: it holds no JSON object", _again(path))
    return config


# What is fine-tuned most; other families' encoders are known by a head for masked words.
_ENCODERS = (
    "albert", "bert", "camembert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "modernbert", "mpnet",
    "nystromformer", "roberta", "xlm-roberta",
)  # fmt: skip


def kind_of(config: dict[str, Any], path: Path) -> Kind:
    """Its kind by `architectures`. Raises CheckpointError for what is of none."""
    architectures = config.get("architectures") or []
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    model_type = config.get("model_type")
    if architecture.endswith("ForSequenceClassification"):
        return "classifier"
    if architecture.endswith(("ForQuestionAnswering", "ForQuestionAnsweringSimple")):
        return "qa"
    if config.get("is_encoder_decoder") or model_type in _SEQ2SEQ:
        return "seq2seq"
    # Gemma 3 and others name their decoder with eyes ForConditionalGeneration.
    if architecture.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        return "causal"
    if architecture.endswith(("ForMaskedLM", "ForPreTraining")) or (architecture and model_type in _ENCODERS):
        return "encoder"
    what = architecture or f"checkpoint of type '{model_type}'"
    raise CheckpointError(
        f"{path}: a {what} neither writes, classifies nor answers from text",
        "lmcli works with causal models, encoder-decoders, sequence classifiers and checkpoints that mark answers: "
        "lmcli list --all",
    )


def weight_files(path: Path) -> list[Path]:
    """The safetensors files that together hold the weights. Raises CheckpointError where one is missing."""
    if (path / WEIGHTS).exists():
        return [path / WEIGHTS]
    index = path / INDEX
    if index.exists():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            missing = [name for name in names if not (path / name).exists()]
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise CheckpointError(f"cannot read {index}: {error}", _again(path)) from error
        if missing:
            raise CheckpointError(f"{path}: the weights' part {missing[0]} is missing", _again(path))
        return [path / name for name in names]
    if any(path.glob("*.bin")) or any(path.glob("*.pt")) or any(path.glob("*.pth")):
        raise UnsafeCheckpoint(
            f"{path}: its weights are pickles, which can run code when they are loaded",
            "use a checkpoint with model.safetensors, or convert this one where you trust it",
        )
    raise CheckpointError(f"{path}: model.safetensors is missing", _again(path))


def matrices(path: Path) -> list[tuple[tuple[int, ...], int]]:
    """Every matrix: its shape as it is stored, and its parameters, several to an element where they are packed.

    Scales beside packed ones are none. Raises CheckpointError as `read` does.
    """
    bits = read_bits(read_config(path))
    found = []
    for name, tensor in (item for file in weight_files(path) for item in _header(file)[0].items()):
        if name != "__metadata__" and len(tensor["shape"]) > 1:
            elements = math.prod(tensor["shape"])
            count = parameters(name, str(tensor["dtype"]), elements, bits) if bits else elements
            found.append((tuple(tensor["shape"]), count))
    return found


def context_length(config: dict[str, Any]) -> int | None:
    """How many tokens the config says a text may have."""
    inner = config.get("text_config")
    inner = inner if isinstance(inner, dict) else {}
    values = (config.get(name) or inner.get(name) for name in _POSITIONS)
    return next((value for value in values if isinstance(value, int) and value > 0), None)


def _parameters(file: Path, bits: int | None) -> Counter[str]:
    """The number of parameters by dtype in one safetensors file, whose packed tensors have `bits` for each."""
    header, start = _header(file)
    counts: Counter[str] = Counter()
    end = 0
    try:
        for name, tensor in header.items():
            if name != "__metadata__":
                dtype, elements = str(tensor["dtype"]), math.prod(tensor["shape"])
                counts[dtype] += parameters(name, dtype, elements, bits) if bits else elements
                end = max(end, tensor["data_offsets"][1])
    except (KeyError, TypeError, IndexError) as error:
        raise _damaged(file, "its header is damaged") from error
    size = file.stat().st_size
    if size < start + end:
        raise _damaged(file, f"it is cut short, {size:,} of {start + end:,} bytes")
    return counts


def _header(file: Path) -> tuple[dict[str, Any], int]:
    try:
        with file.open("rb") as stream:
            opening = stream.read(8)
            if opening == b"version ":
                raise CheckpointError(
                    f"{file} is a Git LFS pointer, not the weights themselves",
                    "fetch the weights: git lfs pull, in that folder",
                )
            length = int.from_bytes(opening, "little")
            if len(opening) < 8 or length > _LARGEST_HEADER:
                raise _damaged(file, "its header is damaged")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is cut short or damaged") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is damaged")
    return cast(dict[str, Any], header), 8 + length


def _damaged(file: Path, how: str) -> CheckpointError:
    return CheckpointError(f"{file}: {how}", _again(file.parent))


def _again(path: Path) -> str:
    """The way out for a damaged folder: a hub checkpoint is pulled again, any other is copied again."""
    repo = next((part for part in path.parts if part.startswith("models--")), None)
    if repo is None:
        return "copy or download the folder again"
    name = repo.removeprefix("models--").replace("--", "/", 1)
    return f"lmcli rm {name} && lmcli pull {name}"


def _has_template(path: Path) -> bool:
    if (path / "chat_template.jinja").exists() or (path / "chat_template.json").exists():
        return True
    try:
        return bool(json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError, AttributeError):
        return False


def _license(path: Path) -> str | None:
    """The licence in the front matter of the model card."""
    try:
        text = (path / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    fields = (
        dict(re.findall(r"^(license|license_name):[ \t]*['\"]?([\w.+-]+)", front[1], re.MULTILINE)) if front else {}
    )
    license = fields.get("license")
    return fields.get("license_name", license) if license in (None, "other") else license
