"""Who looks at whom: the class token at prompts and patches, prompts at patches, and what a decision rests on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfprompt.analysis.effective import effective_prompts, prompted
from selfprompt.backbones.base import BlockEdit, Tokens, watching
from selfprompt.backbones.stepwise import Stepwise, inside
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.prompted import KeyedInsertion


@dataclass(frozen=True)
class Attention:
    """Attention weights by block, averaged over heads. B images, P prompts of the block, M patches.

    Args:
        to_prompts: (B, P) each: how much the class token looks at each prompt (where there is none, patches do).
        to_patches: (B, M) each: how much it looks at each patch.
        from_prompts: (B, P, M) each: how much each prompt looks at each patch. Prompts that are keys and values
            alone do not look; theirs is what they would see as tokens, in the published form. Empty where prompts
            stand in a second attention, or beside it.
    """

    to_prompts: list[Tensor]
    to_patches: list[Tensor]
    from_prompts: list[Tensor]


@torch.no_grad()
def attention(model: PromptedModel, images: Tensor) -> Attention:
    """Attention weights of all blocks.

    Args:
        model: A model with prompts.
        images: (B, 3, H, W), normalised.

    Raises:
        UserError: The method has no prompts.
    """
    backbone, insertion = inside(model.backbone.eval()), prompted(model).eval()
    patches = slice(-backbone.num_patches, None)
    found = Attention([], [], [])
    effective = effective_prompts(model)
    keys = insertion.prompt_keys(backbone.num_prefix)
    asking = slice(0, 1) if backbone.num_prefix else patches

    def look(i: int, before: Tokens, after: Tokens) -> None:
        """At one block, whose weights are then let go."""
        tokens, prompts = (seen[role].copy() for role in ("tokens", "prompts"))
        for weights in seen.values():
            weights.clear()
        own, last = tokens[0].mean(dim=1), (prompts or tokens)[0].mean(dim=1)
        count = len(effective[i]) if len(effective) > 1 else insertion.num_prompts
        columns = slice(keys.start, keys.start + count)
        found.to_prompts.append(last[:, asking, columns].mean(dim=1))
        found.to_patches.append(own[:, asking, patches].mean(dim=1))
        if prompts:
            return
        if isinstance(insertion, KeyedInsertion):
            found.from_prompts.append(asked_by(backbone, i, effective[i], before)[..., patches])
        else:
            found.from_prompts.append(own[:, columns, patches])

    with watching(backbone) as seen:
        backbone.run(images, insertion, look)
    return found


def asked_by(backbone: Stepwise, i: int, prompts: Tensor, stream: Tokens) -> Tensor:
    """(B, P, P + N) weights of block ``i`` as its (P, D) prompts would see prompts and stream if they were tokens."""
    given = backbone.normalize(i, stream.x)
    asking = torch.cat([backbone.normalize(i, prompts.expand(len(given), -1, -1)), given], dim=1)
    with watching(backbone) as seen:
        backbone.attention(i, given, asking, BlockEdit(extra_kv=backbone.keys_values(i, prompts)))
    return seen["tokens"][0][:, :, : len(prompts)].mean(dim=1)


def relevance(model: PromptedModel, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """What a decision rests on: attention weighted by its gradient, followed through all blocks.

    Chefer et al., "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
    Transformers", ICCV 2021, arXiv 2103.15679: with ``A`` the weights of a block's self-attention and ``y`` the
    logit, ``R <- R + E_heads[(dy/dA * A)+] R`` from ``R = 1``. Prompts that are keys alone carry nothing on, so
    that their columns are left out.

    Args:
        model: With prompts or without.
        images: (B, 3, H, W), normalised.
        classes: (B,) whose logits are explained; those predicted if left out.

    Returns:
        (B, M), not negative.
    """
    backbone = model.backbone.eval()
    insertion = model.tower.insertion.eval()
    streams: list[Tokens] = []
    with torch.enable_grad(), watching(backbone) as seen:
        tokens = backbone.run(images.detach().requires_grad_(), insertion, lambda i, b, a: streams.append(b))
        weights, entered = seen["tokens"], streams[0].x.shape[1]
        logits = model.head.eval()(backbone.readout(tokens, model.tower.readout))
        chosen = logits.argmax(dim=-1) if classes is None else classes
        gradients = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), weights)
    with torch.no_grad():
        total = torch.eye(entered, device=images.device).expand(len(images), -1, -1)
        for weight, gradient in zip(weights, gradients):
            step = (weight.float() * gradient.float()).clamp(min=0).mean(dim=1)[:, :entered, -entered:]
            total = total + step @ total
        first = slice(0, 1) if tokens.num_prefix else slice(-backbone.num_patches, None)
        return total[:, first, -backbone.num_patches :].mean(dim=1)
