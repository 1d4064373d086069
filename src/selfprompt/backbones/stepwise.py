"""The one loop over blocks, for families whose blocks are called one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from selfprompt.backbones.base import PLAIN, Backbone, BlockEdit, Context, Edits, KeysValues, Seen, Tokens, insert
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs


class Stepwise(Backbone, ABC):
    """A backbone whose blocks are pre- or post-norm, with an attention and an MLP branch."""

    @abstractmethod
    def enter(self, content: Float[Tensor, "batch tokens width"], inputs: Inputs) -> Tokens:
        """(B, M, D) content to what enters block 0: positions, prefix tokens, a first norm."""

    @abstractmethod
    def normalize(self, i: int, x: Float[Tensor, "*batch tokens width"]) -> Float[Tensor, "*batch tokens width"]:
        """(B, N, D) tokens as the attention of block ``i`` sees them: after its norm, where that comes first."""

    @abstractmethod
    def attention(
        self,
        i: int,
        x: Float[Tensor, "batch tokens width"],
        asking: Float[Tensor, "batch queries width"],
        edit: BlockEdit = PLAIN,
    ) -> Float[Tensor, "batch queries width"]:
        """The attention branch of block ``i`` without its residual.

        Args:
            i: The block.
            x: (B, N, D) tokens, normalised, that give keys and values.
            asking: (B, Q, D) tokens, normalised, that give queries: ``x`` itself, or some of them, or others.
            edit: Further keys and values, and a temperature.

        Returns:
            (B, Q, D).
        """

    @abstractmethod
    def cross_attention(
        self, i: int, x: Float[Tensor, "batch queries width"], kv: KeysValues
    ) -> Float[Tensor, "batch queries width"]:
        """The attention of block ``i`` with its own weights, asked by tokens that see only what is given.

        Args:
            i: The block.
            x: (B, N, D) tokens that ask, taken as they are: the block's normalisation is not applied.
            kv: Keys and values from `keys_values`.

        Returns:
            (B, N, D), without a residual.
        """

    @abstractmethod
    def mlp(self, i: int, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """The MLP branch of block ``i`` without its residual, (B, N, D) to (B, N, D)."""

    @final
    def block(self, i: int, tokens: Tokens, edit: BlockEdit = PLAIN, read: slice | None = None) -> Tokens:
        """Block ``i`` as it is edited: both branches, each added to the stream.

        Args:
            i: The block.
            tokens: The stream.
            edit: What an insertion wants of it.
            read: Of which tokens the outputs are wanted; None means all.
        """
        whole = tokens if edit.asking is None else insert(tokens, edit.asking)
        stream, mask = whole.x, whole.mask
        wanted = slice(None) if read is None else read
        # a slice for each use, not one: so gradients are summed as they always were, to the bit
        x, part = stream[:, wanted], None if read is None and stream is tokens.x else stream[:, wanted]
        normal = self.normalize(i, tokens.x)
        asking = normal if part is None else self.normalize(i, part)
        out = self.attention(i, normal, asking, edit)
        if edit.branch is not None:
            out = edit.branch(self.normalize(i, stream[:, wanted]), out)
            x = stream[:, wanted]
        x = x + out
        x = x if edit.between is None else edit.between(x)
        return Tokens(x + self.mlp(i, x), whole.num_prefix, None if mask is None else mask[:, wanted], whole.at)

    @final
    def run(
        self,
        inputs: Inputs,
        edits: Edits,
        seen: Seen | None = None,
        *,
        rows: Int[Tensor, " batch"] | None = None,
        blocks: int | None = None,
        read: slice | None = None,
        checkpointing: bool = False,
    ) -> Tokens:
        content = self.content(inputs)
        context = Context(inputs, content, rows)
        tokens = self.enter(edits.words(content, context), inputs)

        def step(i: int, tokens: Tokens) -> tuple[Tokens, Tokens]:
            before = edits.before(self, i, tokens, context)
            wanted = read if i == self.depth - 1 else None
            return before, edits.after(i, before, self.block(i, before, edits.edit(self, i, context), wanted))

        for i in range(self.depth if blocks is None else blocks):
            if checkpointing and torch.is_grad_enabled():
                before, tokens = checkpoint(step, i, tokens, use_reentrant=False)
            else:
                before, tokens = step(i, tokens)
            if seen:
                seen(i, before, tokens)
        return edits.leave(tokens, context)


def inside(backbone: Backbone) -> Stepwise:
    """The backbone, as one whose blocks can be called one by one.

    Raises:
        UserError: Its own forward pass drives it.
    """
    if not isinstance(backbone, Stepwise):
        raise UserError(f"The blocks of {backbone.info.name} cannot be called one by one, as is needed here.")
    return backbone
