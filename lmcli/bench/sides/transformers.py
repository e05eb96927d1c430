"""transformers: the model as from_pretrained gives it, with the cache it makes for itself."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor

from lmcli.bench.sides import Facts


def load(
    checkpoint: Mapping[str, Any], kind: str | None, device: str, options: Mapping[str, Any], **_: Any
) -> Transformers:
    """`kind` is a dtype, or None for the checkpoint's own, transformers' default."""
    return Transformers(_model(checkpoint["path"], kind, device, options))


def cold(checkpoint: Mapping[str, Any], kind: str | None, device: str, options: Mapping[str, Any], **_: Any) -> None:
    """What a script of a few lines does for the first token of an answer."""
    path, question = checkpoint["path"], "What is the capital of France?"
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = _model(path, kind, device, options)
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": question}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    else:
        inputs = tokenizer(question, return_tensors="pt")
    output = model.generate(**inputs.to(device), max_new_tokens=1, do_sample=False)
    print(repr(tokenizer.decode(output[0, -1:])), flush=True)


class Transformers:
    """Side over the model's own forward pass: what `generate` adds to a step is not held against it, but in a whole
    answer, which `generate` writes."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cache: Any = None
        keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._options: dict[str, Any] = {"logits_to_keep": 1} if keeps else {}
        self._logits = torch.empty(0)
        self.facts = Facts(
            version=transformers.__version__,
            precision=f"{model.device}, {str(model.dtype).removeprefix('torch.')}",
            bytes_per_weight=model.dtype.itemsize,
            bytes_per_cached=model.dtype.itemsize,
            prefill_dtype=str(model.dtype).removeprefix("torch."),
            context_length=getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30),
        )

    def reset(self) -> None:
        self._cache = None

    def feed(self, tokens: Sequence[int]) -> int:
        self._logits = self._pass([tokens])[0]
        return int(self._logits.argmax())

    @torch.inference_mode()
    def answer(self, prompt: Sequence[int], tokens: int) -> int:
        ids = torch.tensor([prompt], device=self._model.device)
        output = self._model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, num_beams=1,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        if output.shape[1] != len(prompt) + tokens:
            raise RuntimeError(f"generate wrote {output.shape[1] - len(prompt)} tokens, not {tokens}")
        return tokens - 1

    def logits(self, ids: Sequence[int]) -> list[float]:
        chosen: list[float] = self._logits[list(ids)].float().tolist()
        return chosen

    def batch(self, prompts: Sequence[Sequence[int]], steps: int) -> float:
        self.reset()
        tokens = self._pass(prompts).argmax(-1).tolist()
        start = time.perf_counter()
        for _ in range(steps):
            tokens = self._pass([[token] for token in tokens]).argmax(-1).tolist()
        return time.perf_counter() - start

    @torch.inference_mode()
    def _pass(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Logits (B, V) of the last of the tokens (B, T)."""
        ids = torch.tensor(rows, device=self._model.device)
        output = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, **self._options)
        self._cache = output.past_key_values
        logits: Tensor = output.logits[:, -1]
        return logits


def _model(path: str, kind: str | None, device: str, options: Mapping[str, Any]) -> Any:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    dtype = {"dtype": getattr(torch, kind)} if kind else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path, local_files_only=True, use_safetensors=True,
        trust_remote_code=bool(options.get("trust_remote_code")), **dtype,
    )  # fmt: skip
    return model.to(device).eval()
