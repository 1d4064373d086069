"""A small language model whose own forward pass drives and asks for edits, as models of other libraries do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.backbones.base import Backbone, Context, Edits, Seen, Tokens
from selfprompt.backbones.info import BackboneInfo, Readout
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.tables import Kind
from selfprompt.data.views.base import View
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs, Text

WORDS, LONGEST, WIDTH, HEADS = 20, 8, 16, 2


class Block(nn.Module):
    """Pre-norm, causal; it knows of prompts only what its model tells it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.qkv(x).unflatten(-1, (3, HEADS, -1)).movedim(-3, 0).transpose(-3, -2).unbind(0)


class TinyText(Backbone):
    """An embedding and two blocks; the feature is the token at ``Text.at``."""

    depth, width, num_heads, num_features, num_prefix, token_fan_in = 2, WIDTH, HEADS, WIDTH, 0, WIDTH
    num_patches, patch_size, fused_attention = LONGEST, 0, False

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(2 * LONGEST, WIDTH)
            self.blocks = nn.ModuleList(Block() for _ in range(self.depth))
            self.norm = nn.LayerNorm(WIDTH)
        self.info = BackboneInfo("tiny text", "tiny text", "unknown", None)
        self.requires_grad_(False).eval()

    def content(self, inputs: Inputs) -> Tensor:
        assert isinstance(inputs, Text)
        return self.words(inputs.ids)

    def run(
        self,
        inputs: Inputs,
        edits: Edits,
        seen: Seen | None = None,
        *,
        rows: Tensor | None = None,
        blocks: int | None = None,
        read: slice | None = None,
        checkpointing: bool = False,
    ) -> Tokens:
        assert isinstance(inputs, Text)
        content = self.content(inputs)
        context = Context(inputs, content, rows)
        x = edits.words(content, context)
        tokens = Tokens(x + self.places.weight[: x.shape[1]], 0, inputs.mask, inputs.at)
        for i in range(self.depth if blocks is None else blocks):
            before = edits.before(self, i, tokens, context)
            tokens = edits.after(i, before, self.step(i, before, edits, context))
            if seen:
                seen(i, before, tokens)
        return edits.leave(tokens, context)

    def step(self, i: int, tokens: Tokens, edits: Edits, context: Context) -> Tokens:
        block, edit = self.blocks[i], edits.edit(self, i, context)
        if edit.branch or edit.between or edit.asking is not None:
            raise UserError("tiny text gives no insertion the inside of a block.")
        assert isinstance(block, Block)
        assert tokens.mask is not None
        q, k, v = block.split(block.norm1(tokens.x))
        count = tokens.x.shape[1]
        free = torch.ones(count, count, dtype=torch.bool).tril() & tokens.mask[:, None, None]
        if edit.extra_kv is not None:
            more = [e.expand(len(q), *e.shape[-3:]) for e in edit.extra_kv]
            k, v = (torch.cat([e, t], dim=2) for e, t in zip(more, (k, v)))
            free = F.pad(free, (k.shape[2] - count, 0), value=True)
        scores = q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5
        scores = scores if edit.temperature is None else scores / edit.temperature
        weights = scores.masked_fill(~free, -torch.inf).softmax(-1)
        if self.watch is not None:
            self.watch("tokens", weights)
        out = weights @ v
        x = tokens.x + block.out(out.transpose(1, 2).flatten(2))
        return Tokens(x + block.mlp(block.norm2(x)), 0, tokens.mask, tokens.at)

    def keys_values(self, i: int, prompts: Tensor, normalize: bool = True) -> tuple[Tensor, Tensor]:
        block = self.blocks[i]
        assert isinstance(block, Block)
        return block.split(block.norm1(prompts) if normalize else prompts)[1:]  # type: ignore[return-value]

    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Tensor:
        assert tokens.at is not None
        return self.norm(tokens.x[torch.arange(len(tokens.x)), tokens.at])


class Numbers(BaseProtocol):
    """The protocol of texts that are lists of numbers already."""

    inputs: ClassVar[Kind] = "text"
    kind: Literal["numbers"] = "numbers"

    def view(self) -> View:
        return NumbersView()


class NumbersView(View):
    """Padded on the right; the last number is read."""

    augments = False  # type: ignore[assignment]

    def accept(self, source: Any) -> Any:
        return source

    def read(self, source: Any, rng: np.random.Generator | None = None) -> list[int]:
        if not source or max(source) >= WORDS:
            raise UserError(f"{source} has a number that is no word: give numbers below {WORDS}.")
        return list(source)[:LONGEST]

    def collate(self, read: Iterable[list[int]], count: int) -> Text:
        ids = torch.zeros(count, LONGEST, dtype=torch.long)
        mask = torch.zeros(count, LONGEST, dtype=torch.bool)
        for row, numbers in enumerate(read):
            ids[row, : len(numbers)], mask[row, : len(numbers)] = torch.tensor(numbers), True
        return Text(ids, mask, mask.sum(dim=1) - 1)

    def prepare(self, inputs: Inputs) -> Inputs:
        return inputs

    def size(self, count: int) -> int:
        return 9 * LONGEST * count
