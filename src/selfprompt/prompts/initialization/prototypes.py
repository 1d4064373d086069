"""Self-prompt tuning's start: prototypes of the task's own patch tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs, count
from selfprompt.prompts.initialization import Kind
from selfprompt.prompts.initialization.base import Initialization, Prompts

TOKENS_PER_CENTRE = 256  # of the sample that k-means sees, as in FAISS


@dataclass(frozen=True)
class Prototypes(Initialization):
    """Token prototypes (Wang et al., "Revisiting the Power of Prompt for Visual Tuning", arXiv 2402.02382).

    The frozen backbone runs over the task's images without prompts. Candidates for layer 0 are the patch
    embeddings before position embedding; for layer i the patch tokens that enter block i (prefix left out).

    - ``random``: P tokens, a uniform sample without replacement over all tokens of all images, for each layer.
    - ``mean``, ``max``: each image's tokens in raster order are cut into P windows, and averaged (or the maximum
      taken) within each; then P of all pooled tokens are sampled as above.
    - ``kmeans``: P centres of a uniform sample of 256 P tokens.

    One pass; memory holds one batch and the samples, whatever the number of images. Differences from the
    official code, none of which the paper states: images are read once each, not drawn with replacement; the
    windows of mean and max always cover an image once (the code's last group takes *all* tokens where P - 1
    divides M, and P = 1 fails); shallow prompts obey the kind, too, where the code always samples. A run gives the
    images as a test sees them, where the FGVC runs of the code draw from augmented training images: a source is then
    a patch that anybody can look up, which it is not in a view that was cropped and flipped at random.

    Args:
        kind: Which prototypes.
    """

    kind: Kind = "random"
    needs_data = True

    @torch.no_grad()
    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """One streaming pass.

        Raises:
            UserError: There are fewer tokens than prompts, more windows than patches, or a token is NaN or infinite.
        """
        if self.kind in ("mean", "max") and num_prompts > backbone.num_patches:
            raise UserError(
                f"{self.kind} prototypes need a patch for each prompt, and an image has {backbone.num_patches}: "
                f"use --num-prompts {backbone.num_patches} or fewer, or --prototypes random."
            )
        size = num_prompts * (TOKENS_PER_CENTRE if self.kind == "kmeans" else 1)
        reservoirs = [Reservoir(size, backbone.width, seed * 1_000 + layer) for layer in range(layers)]
        images_read = 0
        for images in batches:
            first = images_read

            def offer(
                layer: int,
                tokens: Float[Tensor, "batch content width"],
                real: Bool[Tensor, "batch content"] | None,
                first: int = first,
            ) -> None:
                reservoirs[layer].add(self._candidates(tokens.float(), real, num_prompts), first, real)

            backbone.content_streams(images, layers, offer)
            images_read += count(images)
        if images_read == 0 or len(reservoirs[0]) < num_prompts:
            raise UserError(
                f"{num_prompts} prompts need as many tokens to start from, and {images_read} image(s) gave "
                f"{len(reservoirs[0])}: give more images or use fewer prompts."
            )
        if not all(reservoir.tokens.isfinite().all() for reservoir in reservoirs):
            raise UserError(
                f"Patch tokens of {backbone.info.name} are NaN or infinite, and no prompt can start from them: its "
                f"weights or the images hold such numbers, or float32 is needed (--precision float32)."
            )
        if self.kind == "kmeans":
            return Prompts(torch.stack([centres(r.tokens, num_prompts, seed) for r in reservoirs]))
        sources = torch.stack([r.sources for r in reservoirs]) if self.kind == "random" else None
        return Prompts(torch.stack([r.tokens for r in reservoirs]).cpu(), sources)

    def _candidates(
        self,
        patches: Float[Tensor, "batch content width"],
        real: Bool[Tensor, "batch content"] | None,
        num_prompts: int,
    ) -> Float[Tensor, "batch candidates width"]:
        """(B, M, D) content tokens to (B, C, D) candidates."""
        if self.kind in ("random", "kmeans"):
            return patches
        if real is not None:
            raise UserError(f"{self.kind} prototypes need inputs of one length: use --prototypes random.")
        groups = patches.split(window_sizes(patches.shape[1], num_prompts), dim=1)
        pooled = [g.mean(dim=1) if self.kind == "mean" else g.amax(dim=1) for g in groups]
        return torch.stack(pooled, dim=1)


class Reservoir:
    """A uniform sample without replacement of a stream of rows, in memory that does not grow.

    Every row gets a random number, and the rows of the smallest numbers stay.

    Args:
        size: Rows to keep.
        width: Columns.
        seed: Seed of the random numbers.
    """

    def __init__(self, size: int, width: int, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._size = size
        self._keys = torch.empty(0, dtype=torch.float64)
        self.tokens = torch.empty(0, width)
        self.sources = torch.empty(0, 2, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(
        self,
        candidates: Float[Tensor, "batch candidates width"],
        first_image: int,
        real: Bool[Tensor, "batch candidates"] | None = None,
    ) -> None:
        """Offer (B, C, D) candidates of the images ``first_image``, ``first_image + 1``, ...; padding is not real."""
        images, count, width = candidates.shape
        keys = torch.rand(images * count, generator=self._generator, dtype=torch.float64)
        offered = len(keys)
        if real is not None:
            keys, offered = keys.masked_fill(~real.flatten().cpu(), torch.inf), int(real.sum())
        new = keys.topk(min(self._size, offered), largest=False).indices
        sources = torch.stack([first_image + new // count, new % count], dim=1)
        rows = candidates.reshape(-1, width)[new.to(candidates.device)].to(self.tokens.device)
        keys = torch.cat([self._keys, keys[new]])
        keep = keys.topk(min(self._size, len(keys)), largest=False).indices
        self._keys = keys[keep]
        self.tokens = torch.cat([self.tokens, rows])[keep]
        self.sources = torch.cat([self.sources, sources])[keep]


def window_sizes(patches: int, windows: int) -> list[int]:
    """How many tokens of an image each of the pooling windows takes, all of them once.

    The paper's rule is ``windows - 1`` windows of ``patches // (windows - 1)`` and one of what is left; where
    nothing is left, or there is one window, they are cut as evenly as can be.
    """
    if windows > 1:
        each = patches // (windows - 1)
        left = patches - each * (windows - 1)
        if left:
            return [each] * (windows - 1) + [left]
    each, more = divmod(patches, windows)
    return [each + 1] * more + [each] * (windows - more)


def centres(tokens: Float[Tensor, "tokens width"], count: int, seed: int) -> Float[Tensor, "prompts width"]:
    """k-means centres of (N, D) tokens, (count, D)."""
    from sklearn.cluster import KMeans  # it takes a second

    model: Any = KMeans(n_clusters=count, random_state=seed, n_init="auto")
    model.fit(tokens.cpu().numpy())
    return torch.from_numpy(model.cluster_centers_).to(tokens.dtype)
