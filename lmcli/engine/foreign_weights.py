"""Weights that other libraries quantized: which of them transformers asks for, told before it is imported."""

from __future__ import annotations

from importlib.util import find_spec

from lmcli.checkpoints.checkpoint import read_config
from lmcli.errors import CheckpointError
from lmcli.types import Checkpoint

# By quant_method the packages that transformers 5 asks for, as pip calls them. Of methods that are not here it says
# itself what is missing, and transformers_tokenizer.refuse passes that on.
_PACKAGES = {
    "gptq": ("optimum", "gptqmodel"),
    "awq": ("gptqmodel",),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed-tensors",),
    "hqq": ("hqq",),
    "torchao": ("torchao",),
    "auto-round": ("auto-round",),
}


def check_libraries(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError where the weights need a library that is not installed."""
    method = _method(checkpoint)
    missing = [name for name in _PACKAGES.get(method, ()) if find_spec(name.replace("-", "_")) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise CheckpointError(
            f"{checkpoint.name} is quantized by {method}, and {' and '.join(missing)} {verb} not installed",
            f"install what it needs: pip install {' '.join(missing)}",
        )


def _method(checkpoint: Checkpoint) -> str:
    scheme = read_config(checkpoint.path).get("quantization_config")
    if not isinstance(scheme, dict):
        return ""
    # Old files of bitsandbytes name no method.
    by_bits = scheme.get("load_in_8bit") or scheme.get("load_in_4bit")
    return "bitsandbytes" if by_bits else str(scheme.get("quant_method"))
