"""Tiny random checkpoints of real architectures, saved as transformers saves them, and what transformers makes of
them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

from lmcli.types import Checkpoint

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCAB_SIZE = 256 + len(SPECIAL)
DIMENSIONS = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": None,
    "eos_token_id": 258, "pad_token_id": 256, "initializer_range": 0.3,
}  # fmt: skip


def byte_tokenizer() -> tokenizers.Tokenizer:
    """A token a byte, and the chat marks."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def save(folder: Path, config: Any, seed: int = 0, model_class: Any = transformers.AutoModelForCausalLM) -> Any:
    """Save a random model of `config` with a byte tokenizer and a chat template; the model itself."""
    torch.manual_seed(seed)
    model = model_class.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight") or "layernorm" in name.lower():
                parameter.uniform_(0.5, 1.5)  # A norm of ones would hide a norm left out.
            elif name.endswith("bias"):
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer = byte_tokenizer()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    return model


def config(family: str, **overrides: Any) -> Any:
    return transformers.AutoConfig.for_model(family, **(DIMENSIONS | overrides))


def checkpoint(folder: Path, model_type: str = "llama", kind: str = "causal", dtype: str = "float32") -> Checkpoint:
    return Checkpoint(folder.name, folder, None, model_type, kind, dtype, 10_000, 40_000, None, True)  # type: ignore[arg-type]


def read(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return value


def read_model_type(folder: Path) -> str:
    return str(read(folder / "config.json")["model_type"])


def greedy(model: Any, tokens: list[int], count: int) -> list[int]:
    """transformers' own greedy continuation, in the model's dtype."""
    ids = torch.tensor([tokens])
    with torch.no_grad():
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, num_beams=1
        )
    return list(output[0, len(tokens) :].tolist())
