"""Blocks of timm's kinds, whose branches are called one by one: those of images' and of texts' transformers.

Only the blocks' own parts are called; nothing of timm is copied. The kinds that have separate branches are taken,
pre-norm and post-norm: VisionTransformer's, Eva's and Beit's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from timm.models.eva import EvaBlockPostNorm
from timm.models.vision_transformer import Block, ResPostBlock
from torch import Tensor, nn

from selfprompt.backbones.base import PLAIN, BlockEdit, KeysValues, Role
from selfprompt.backbones.precision import as_under_autocast, fused_is_faster
from selfprompt.backbones.stepwise import Stepwise
from selfprompt.marks import optional

POST_NORM = (ResPostBlock, EvaBlockPostNorm)


class TimmBlocks(Stepwise, ABC):
    """A backbone whose blocks are timm's."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Any]:
        """The blocks."""

    @optional
    def visible(self, asking: int, given: int) -> Bool[Tensor, "queries tokens"] | None:
        """Which of ``given`` tokens each of the last ``asking`` of them sees, (Q, N) booleans; None means all."""
        return None

    @optional
    def biases(self, i: int, asking: int, given: int) -> Float[Tensor, "heads queries tokens"] | None:
        """What block ``i`` adds to the scores of ``asking`` tokens for ``given`` ones; None means nothing."""
        return None

    @optional
    def positioned(
        self, i: int, *parts: Float[Tensor, "batch heads _ head_width"]
    ) -> tuple[Float[Tensor, "batch heads _ head_width"], ...]:
        """Queries or keys of tokens in block ``i``, as their positions turn them."""
        return parts

    @as_under_autocast
    def normalize(self, i: int, x: Float[Tensor, "*batch tokens width"]) -> Float[Tensor, "*batch tokens width"]:
        block: Any = self.blocks[i]
        return x if isinstance(block, POST_NORM) else block.norm1(x)

    @as_under_autocast
    def attention(
        self,
        i: int,
        x: Float[Tensor, "batch tokens width"],
        asking: Float[Tensor, "batch queries width"],
        edit: BlockEdit = PLAIN,
    ) -> Float[Tensor, "batch queries width"]:
        block: Any = self.blocks[i]
        attn = block.attn
        if asking is x and edit.extra_kv is None:
            q, k, v = self._project(attn, x, 0, 3)
        else:  # apart, as queries alone are kept for the backward pass once keys and values are joined to others
            (q,), (k, v) = self._project(attn, asking, 0, 1), self._project(attn, x, 1, 3)
        q, k = self.positioned(i, through(attn, "q_norm", q), through(attn, "k_norm", k))
        if edit.extra_kv is not None:
            more = [e.to(k.dtype).expand(k.shape[0], *e.shape[-3:]) for e in edit.extra_kv]
            k, v = (torch.cat([e, t], dim=2) for e, t in zip(more, (k, v)))
        if edit.temperature is not None:
            q = q / edit.temperature.to(q.dtype)
        mask = self._mask(i, q.shape[-2], x.shape[1], edit)
        return self._attend(block, "tokens", asking, q, k, v, mask)

    def _mask(
        self, i: int, asking: int, given: int, edit: BlockEdit
    ) -> Bool[Tensor, "#batch 1 #queries keys"] | Float[Tensor, "#batch heads queries keys"] | None:
        """Which keys each query sees, or what is added to its scores; None means that it sees all as they are."""
        extra = 0 if edit.extra_kv is None else edit.extra_kv[0].shape[-2]
        mask = None
        if edit.extra_mask is not None:
            mask = F.pad(edit.extra_mask, (0, extra + given - edit.extra_mask.shape[-1]), value=True)[:, None, None]
        own = self.visible(asking, given)
        if own is not None:
            own = F.pad(own, (extra, 0), value=True)
            mask = own[None, None] if mask is None else mask & own
        added = self.biases(i, asking, given)
        if added is not None:
            added = F.pad(added, (extra, 0))[None]
            return added if mask is None else added.masked_fill(~mask, -torch.inf)
        return mask

    @as_under_autocast
    def cross_attention(
        self, i: int, x: Float[Tensor, "batch queries width"], kv: KeysValues
    ) -> Float[Tensor, "batch queries width"]:
        block: Any = self.blocks[i]
        (q,) = self._project(block.attn, x, 0, 1)
        (q,) = self.positioned(i, through(block.attn, "q_norm", q))
        k, v = (e.to(q.dtype).expand(x.shape[0], *e.shape[-3:]) for e in kv)
        return self._attend(block, "prompts", x, q, k, v)

    @staticmethod
    def _project(attn: Any, x: Tensor, first: int, last: int) -> tuple[Tensor, ...]:
        """Some of queries (0), keys (1) and values (2) of (..., N, D) tokens, each (..., heads, N, d)."""
        if attn.qkv is None:
            layers = (attn.q_proj, attn.k_proj, attn.v_proj)[first:last]
            return tuple(of_all_heads(attn, layer(x)) for layer in layers)
        bias = None if getattr(attn, "q_bias", None) is None else torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])
        if is_plain(attn.qkv) and (last - first < 3 or bias is not None):
            inner = attn.qkv.out_features // 3
            part = slice(first * inner, last * inner)
            bias = attn.qkv.bias if bias is None else bias
            out = F.linear(x, attn.qkv.weight[part], None if bias is None else bias[part])
        else:  # all are asked for, or something wraps the layer or hooks into it, and must be asked as a whole
            out = attn.qkv(x) if bias is None else attn.qkv(x) + bias
            out = out.unflatten(-1, (3, -1))[..., first:last, :].flatten(-2)
        out = out.unflatten(-1, (last - first, attn.num_heads, -1))
        return out.movedim(-3, 0).transpose(-3, -2).unbind(0)

    def _attend(
        self,
        block: Any,
        role: Role,
        asking: Float[Tensor, "batch queries width"],
        q: Float[Tensor, "batch heads queries head_width"],
        k: Float[Tensor, "batch heads keys head_width"],
        v: Float[Tensor, "batch heads keys head_width"],
        seen: Bool[Tensor, "#batch 1 #queries keys"] | Float[Tensor, "#batch heads queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        attn = block.attn
        if self.fused_attention and self.watch is None and fused_is_faster(q.device, q.dtype):
            seen = seen.to(q.dtype) if seen is not None and seen.is_floating_point() else seen
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        else:
            scores = (q * attn.scale) @ k.transpose(-2, -1)
            if seen is not None:
                scores = scores + seen if seen.is_floating_point() else scores.masked_fill(~seen, -torch.inf)
            weights = scores.softmax(dim=-1)
            if self.watch is not None:
                self.watch(role, weights)
            out = weights @ v
        out = through(attn, "norm", out.transpose(1, 2).flatten(2))
        if getattr(attn, "gate", None) is not None:
            out = out * attn.gate(asking).sigmoid()
        return scaled(block, 1, attn.proj(out))

    @as_under_autocast
    def mlp(self, i: int, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        block: Any = self.blocks[i]
        return scaled(block, 2, block.mlp(x if isinstance(block, POST_NORM) else block.norm2(x)))

    @as_under_autocast
    def keys_values(
        self, i: int, prompts: Float[Tensor, "*batch prompts width"], normalize: bool = True
    ) -> KeysValues:
        block: Any = self.blocks[i]
        attn = block.attn
        k, v = self._project(attn, self.normalize(i, prompts) if normalize else prompts, 1, 3)
        return through(attn, "k_norm", k), v


def scaled(block: Any, branch: int, out: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """What branch 1 or 2 of a block gives, as it joins the stream: after the norm that comes last, or LayerScale."""
    if isinstance(block, POST_NORM):
        return getattr(block, f"norm{branch}")(out)
    if isinstance(block, Block):
        return getattr(block, f"ls{branch}")(out)
    gamma = getattr(block, f"gamma_{branch}")
    return out if gamma is None else gamma * out


def through(attn: Any, norm: str, x: Tensor) -> Tensor:
    """What one of an attention's norms makes of it, where it has that one."""
    return getattr(attn, norm)(x) if hasattr(attn, norm) else x


def of_all_heads(attn: Any, out: Tensor) -> Tensor:
    """(..., N, h d) to (..., heads, N, d); where several heads share keys and values, each gets its own."""
    width = attn.q_proj.out_features // attn.num_heads
    heads = out.unflatten(-1, (-1, width)).transpose(-3, -2)
    shared = attn.num_heads // heads.shape[-3]
    return heads if shared == 1 else heads.repeat_interleave(shared, dim=-3)


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer computes what its weights alone say: no subclass, no hook, no other method in place."""
    hooks = layer._forward_hooks or layer._forward_pre_hooks
    return type(layer) is nn.Linear and not hooks and "forward" not in layer.__dict__
