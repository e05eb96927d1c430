"""Our own decoder for the families we know: weights mapped, prefill in bf16, decode in packed fp16 on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lmcli.engine.attention_mask import attention_masks
from lmcli.engine.branches import Tree
from lmcli.engine.captured import Captured
from lmcli.engine.config import DecoderConfig, NotUnderstood
from lmcli.engine.device import Placement, integers, place
from lmcli.engine.families import build, read_config
from lmcli.engine.families.llama import Decoder
from lmcli.engine.files import read_json
from lmcli.engine.generation import GenerationEngine
from lmcli.engine.kv_cache import KVCache, StaticKVCache
from lmcli.engine.linear import PACKED_ROWS
from lmcli.engine.packing import Packer
from lmcli.engine.prefix_folder import PrefixFolder
from lmcli.engine.prefix_store import Identity, PrefixStore
from lmcli.engine.quantized_weights import (
    await_quantized,
    convert,
    quantize_weights,
    read_quantization,
    without_quantization,
)
from lmcli.engine.recorded import Recorded
from lmcli.engine.rope import Rope
from lmcli.engine.row_cache import RowCache, row_masks
from lmcli.engine.tokenizer import FastTokenizer
from lmcli.engine.weights import assign, read_weights
from lmcli.types import Checkpoint, Event, LoadOptions


def understand(checkpoint: Checkpoint) -> DecoderConfig:
    """The dimensions of a checkpoint. Raises NotUnderstood where any of it is not ours to compute."""
    if not (checkpoint.path / "tokenizer.json").is_file():
        raise NotUnderstood("a tokenizer without tokenizer.json")
    config = read_json(checkpoint.path / "config.json")
    read_quantization(config)
    return read_config(without_quantization(config))


_ROWS = 32  # sequences decoded side by side
_ROWS_BYTES = 2**29  # the most their caches may take together


def open_engine(
    checkpoint: Checkpoint, config: DecoderConfig, options: LoadOptions, report: Callable[[Event], None]
) -> GenerationEngine:
    """The engine for a checkpoint that was understood. Raises CheckpointError for weights that do not fit,
    NotUnderstood where they go into several GPUs only."""
    placement = place(checkpoint, options, report)
    if placement.shared:
        raise NotUnderstood("how to share a decoder among GPUs")
    identity = None
    if options.cache_prompt and options.prompt_dir and options.prompt_dir_bytes:
        # Before the weights are read, so that it cannot be a later one than theirs.
        computing = f"{placement.device.type} {placement.dtype} {options.bits} torch {torch.__version__}"
        identity = Identity.of(checkpoint.path, computing)
    decoder = TorchDecoder(load_decoder(checkpoint, config, placement), placement, report)
    prefixes = None
    if identity and options.prompt_dir and decoder.keys_last:
        prefixes = PrefixStore(PrefixFolder(options.prompt_dir, options.prompt_dir_bytes), identity, decoder)
    return GenerationEngine(checkpoint, FastTokenizer(checkpoint.path), decoder, options.context, prefixes)


def load_decoder(checkpoint: Checkpoint, config: DecoderConfig, placement: Placement) -> Decoder:
    """The module with the checkpoint's weights, mapped where they need no conversion."""
    decoder = build(config)
    weights = read_weights(checkpoint.path)
    if placement.bits and not any(name.endswith(".weight_scale") for name in weights):
        weights = quantize_weights(weights, placement.bits)
    weights = convert(weights, placement.device, placement.dtype, placement.keeps_bits)
    weights = {name.removeprefix("model."): weight for name, weight in weights.items()}
    # The norms work on the residual stream, in its precision; they are a thousandth of the weights.
    weights |= {name: weight.float() for name, weight in weights.items() if name.endswith("norm.weight")}
    if config.tie_embeddings:
        # A file that holds both after all has trained them apart.
        for one, other in (("lm_head.weight", "embed_tokens.weight"), ("embed_tokens.weight", "lm_head.weight")):
            if one not in weights and other in weights:
                weights[one] = weights[other]
    # Old files carry the rotary frequencies, which follow from the config.
    weights = {name: w for name, w in weights.items() if not name.endswith("rotary_emb.inv_freq")}
    weights = decoder.adopt(weights)
    await_quantized(decoder, weights, placement.dtype)
    assign(decoder, weights)
    del weights  # Else the parts are held beside the whole that they are fused to.
    if not placement.packed:
        for projection in decoder.projections():
            projection.fuse()
    if placement.device.type == "cuda":
        torch.cuda.empty_cache()  # What the parts lay in is of no size that would be asked for again.
    return decoder.eval()


class TorchDecoder:
    """generation.Decoder over our module."""

    def __init__(
        self, decoder: Decoder, placement: Placement, report: Callable[[Event], None] = lambda event: None
    ) -> None:
        """`report` is told what could not be made fast, also later."""
        config = decoder.config
        self.device = placement.device
        self.context_length = config.context_length
        self.tokens: list[int] = []
        self._decoder = decoder
        self._recorded = Recorded(decoder)
        self._ready = False  # whether all that makes decode faster is done
        self._rope = Rope(decoder.ropes, config.head_dim, placement.device)
        # A mixture reads other experts for each token.
        self.verifies = decoder.recordable and self.keys_last
        shape = (config.num_layers, config.num_kv_heads, config.head_dim)
        self._captured: Captured | None = None
        self._cache = KVCache(*shape, placement.cache_dtype, placement.device)
        if placement.captures and decoder.recordable:
            cache = StaticKVCache(*shape, placement.cache_dtype, placement.device, self.context_length)
            self._captured, self._cache = Captured(decoder, cache, self._rope, report), cache
        self._packer = Packer(decoder.projections() if placement.packed else (), placement.bits)
        # 32 rows in bf16 take less time a row than eight packed ones; converted from fp16 or in fp32 they take more.
        self._rows = PACKED_ROWS if placement.packed and placement.dtype is not torch.bfloat16 else _ROWS

    @torch.inference_mode()
    def forward(self, tokens: Sequence[int], last: int = 1) -> Tensor:
        if not self._rope.agree(self._cache.length, self._cache.length + len(tokens)) and self.tokens:
            # What the cache holds is turned otherwise in a text of this length.
            tokens = [*self.tokens, *tokens]
            self.rewind(0)
        length = self._cache.length
        logits = self._captured(tokens) if length and self._captured else None
        logits = self._pass(tokens, last) if logits is None else logits[-last:]
        self._cache.length = length + len(tokens)
        self.tokens += tokens
        return logits

    def _pass(self, tokens: Sequence[int], last: int) -> Tensor:
        """Logits (last, V) of `tokens` behind those in the cache."""
        T, length = len(tokens), self._cache.length
        if length and T <= PACKED_ROWS:
            self._pack_ahead()
        masks, causal = attention_masks(T, length + T, self._decoder.windows, self.device)
        ids, rotation, slots = integers(tokens, self.device), self._rope(length, T), self._cache.reserve(T)
        if T <= PACKED_ROWS and not causal:
            return self._recorded(ids, rotation, slots, masks)[-last:]
        logits: Tensor = self._decoder(ids, rotation, slots, masks, causal, last)
        return logits

    @property
    def weight_bytes(self) -> int:
        """What a pass over one token reads: of each linear layer all, of the embedding a row."""
        return sum(part.weight.nbytes for projection in self._decoder.projections() for part in projection.parts)

    def prepare(self) -> None:
        self._packer.all()
        self._record()

    def rewind(self, length: int) -> int:
        if not self._rope.agree(length, self._cache.length):
            length = 0
        self.tokens = self.tokens[:length]
        self._cache.length = length
        return length

    @property
    def keys_last(self) -> bool:
        """Whether the keys of a token do not depend on how much follows it, as they do with LongRoPE."""
        return self._rope.agree(0, self.context_length)

    @torch.inference_mode()
    def batch(self, rows: int, longest: int) -> TorchBatch | None:
        if not self._rope.agree(0, longest):
            return None  # A row that outgrows its rope would have to be turned anew.
        fitting = min(rows, self._rows, _ROWS_BYTES // (self._cache.token_bytes * (1 + longest)))
        return TorchBatch(self, RowCache(fitting, longest, self._cache.reserve(0))) if fitting > 1 else None

    @torch.inference_mode()
    def branch(self, tree: Tree) -> Tensor | None:
        longest = 1 + max(tree.positions)
        if len(tree.tokens) < 2 or not self._rope.agree(self._cache.length, longest):
            return None
        cos, sin = self._rope(0, longest)
        positions = integers(tree.positions, self.device)
        masks = tree.masks(self._decoder.windows, self.device)
        # The cache's length stays: the next pass writes over what this one has put behind it.
        slots = self._cache.reserve(len(tree.tokens))
        rotation = cos[:, positions], sin[:, positions]
        logits: Tensor = self._decoder(integers(tree.tokens, self.device), rotation, slots, masks, last=tree.wanted)
        return logits

    @torch.inference_mode()
    def copy_to(self, cache: RowCache) -> None:
        """What the decoder's cache holds, in a new row of `cache`."""
        cache.add(self._cache.reserve(0))

    @torch.inference_mode()
    def forward_rows(self, tokens: Sequence[int], cache: RowCache) -> Tensor:
        """Feed `tokens`, one to each row of `cache`: fp32 logits (B, V)."""
        if cache.rows <= PACKED_ROWS:
            self._pack_ahead()
        slots, positions = cache.reserve(), integers(cache.lengths, self.device)
        cos, sin = self._rope(0, 1 + max(cache.lengths))
        masks = row_masks(cache.lengths, self._decoder.windows, slots.all_k)
        ids = integers(tokens, self.device)
        logits = self._recorded(ids, (cos[:, positions], sin[:, positions]), slots, masks)
        cache.keep()
        return logits

    def held(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """See prefix_store.Keeping."""
        return self._cache.held(start, end)

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], keys: Tensor, values: Tensor) -> None:
        """See prefix_store.Keeping."""
        self._cache.extend(keys, values)
        self.tokens += tokens

    def _pack_ahead(self) -> None:
        """Before each token that is decoded: its share of what makes the next ones faster."""
        if not self._ready and self._packer.token():
            self._record()

    def _record(self) -> None:
        self._ready = True
        self._recorded.record()


class TorchBatch:
    """generation.Batch beside a TorchDecoder: its weights and graphs, a cache of its own."""

    def __init__(self, decoder: TorchDecoder, cache: RowCache) -> None:
        self.rows = cache.rows
        self._decoder, self._cache = decoder, cache

    def add(self) -> None:
        self._decoder.copy_to(self._cache)

    def forward(self, tokens: Sequence[int]) -> Tensor:
        return self._decoder.forward_rows(tokens, self._cache)

    @torch.inference_mode()
    def remove(self, row: int) -> None:
        self._cache.remove(row)
