"""Tiny random checkpoints that mark answers, of the real architectures, and what transformers' model says of a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_translators as encoders
import torch
import transformers

LONGEST = 50  # tokens of an answer


def build(family: Callable[..., Any], folder: Path, **fields: Any) -> None:
    """A classifier's checkpoint with the other head: same encoder, same tokenizer."""
    model = family(folder, **fields)
    torch.manual_seed(1)
    reader = transformers.AutoModelForQuestionAnswering.from_config(model.config)
    state = {name: tensor for name, tensor in model.state_dict().items() if name in reader.state_dict()}
    reader.load_state_dict(state, strict=False)
    with torch.no_grad():
        reader.qa_outputs.weight.normal_(0, 0.7)
        reader.qa_outputs.bias.copy_(torch.tensor([0.4, -0.3]))
    reader.save_pretrained(folder)


def electra(folder: Path) -> None:
    """An architecture that is not ours."""
    config = transformers.ElectraConfig(
        **encoders.CLASSIFIER, vocab_size=encoders._wordpieces(folder, "ElectraTokenizer"), embedding_size=32,
        max_position_embeddings=40,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ElectraForQuestionAnswering(config).save_pretrained(folder)


def spans(folder: Path, question: str, text: str, window: int) -> tuple[list[tuple[float, int, int]], float]:
    """Every span of a text that fits one window as (probability, start, end), likeliest first; and that of none.

    As transformers' pipeline had it until version 5: a softmax over the text's tokens and the first special one.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    encoded = tokenizer(question, text, return_offsets_mapping=True, return_tensors="pt")
    assert encoded["input_ids"].shape[1] <= window
    offsets = encoded.pop("offset_mapping")[0].tolist()
    own = [0] + [i for i, side in enumerate(encoded.sequence_ids(0)) if side == 1]
    with torch.no_grad():
        output = model(**encoded)
    starts, ends = output.start_logits[0, own].softmax(0).tolist(), output.end_logits[0, own].softmax(0).tolist()
    found = [
        (starts[i] * ends[j], offsets[own[i]][0], offsets[own[j]][1])
        for i in range(1, len(own))
        for j in range(i, min(i + LONGEST, len(own)))
    ]
    return sorted(found, reverse=True), starts[0] * ends[0]
