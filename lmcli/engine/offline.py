"""transformers and huggingface_hub, told to ask nobody about a checkpoint that is here."""

from __future__ import annotations

import os


def stay_offline() -> None:
    """To be called before either is imported: they read it then."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
