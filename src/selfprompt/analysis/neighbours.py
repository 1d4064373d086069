"""Which patches of which images stand nearest to each prompt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from selfprompt.analysis.effective import effective_prompts
from selfprompt.inputs import Inputs
from selfprompt.inputs import count as of
from selfprompt.model import PromptedModel


@dataclass(frozen=True)
class Neighbours:
    """The nearest patches of one layer's prompts, the nearest first.

    Args:
        sources: (P, K, 2) int64, the image's index in the stream and the patch's position in raster order.
        similarity: (P, K) cosine similarities.
    """

    sources: Tensor
    similarity: Tensor


@torch.no_grad()
def nearest_patches(model: PromptedModel, batches: Iterable[Inputs], count: int = 3) -> list[Neighbours]:
    """The patch tokens most like each prompt, by cosine similarity, in one pass and little memory.

    Args:
        model: A model with prompts.
        batches: (B, 3, H, W) normalised images, or texts, whose words are then looked at.
        count: How many, K, each from another image.

    Raises:
        UserError: The method has no prompts.
    """
    prompts = [F.normalize(p, dim=-1) for p in effective_prompts(model)]
    found = [Neighbours(torch.empty(len(p), 0, 2, dtype=torch.int64), torch.empty(len(p), 0)) for p in prompts]
    begun = 0
    for images in batches:

        def compare(
            layer: int, patches: Tensor, real: Tensor | None, images: Inputs = images, begun: int = begun
        ) -> None:
            own, patches = prompts[layer], F.normalize(patches.float(), dim=-1)
            cosines = patches @ own.T
            if real is not None:
                cosines = cosines.masked_fill(~real[..., None], -torch.inf)
            similarity, position = cosines.max(dim=1)  # (B, P): one patch an image
            image = torch.arange(begun, begun + of(images)).expand(len(own), -1)
            new = torch.stack([image, position.T.cpu()], dim=-1)
            similarities = torch.cat([found[layer].similarity, similarity.T.cpu()], dim=1)
            sources = torch.cat([found[layer].sources, new], dim=1)
            best = similarities.topk(min(count, similarities.shape[1]), dim=1).indices
            found[layer] = Neighbours(
                sources.gather(1, best[..., None].expand(-1, -1, 2)), similarities.gather(1, best)
            )

        model.backbone.content_streams(images, len(prompts), compare)
        begun += of(images)
    return found
