"""A start with the statistics of the task's tokens, and none of the tokens."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs, count
from selfprompt.prompts.initialization.base import Initialization, Prompts


class Gaussian(Initialization):
    """Draws from a normal distribution with each layer's token mean and covariance (ours; a control of no paper's).

    The tokens are those of `Prototypes`. What prototypes gain over this start, they gain as tokens; what both gain
    over a random one, by mean and covariance alone.
    """

    needs_data = True

    @torch.no_grad()
    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """One pass, in which each layer's sums are added up.

        Raises:
            UserError: There are fewer than two tokens, or a token is NaN or infinite.
        """
        width = backbone.width
        total = torch.zeros(layers, dtype=torch.float64)
        first, second = total.new_zeros(layers, width), total.new_zeros(layers, width, width)

        def add(layer: int, tokens: Tensor, real: Tensor | None) -> None:
            rows = (tokens.flatten(0, 1) if real is None else tokens[real]).cpu().double()
            total[layer] += len(rows)
            first[layer] += rows.sum(dim=0)
            second[layer] += rows.T @ rows

        images = 0
        for inputs in batches:
            backbone.content_streams(inputs, layers, add)
            images += count(inputs)
        if images == 0 or total.min() < 2:
            raise UserError("Mean and covariance need two tokens or more: give more images.")
        mean = first / total[:, None]
        covariance = second / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
        if not covariance.isfinite().all():
            raise UserError(
                f"Patch tokens of {backbone.info.name} are NaN or infinite, and no prompt can start from them: its "
                f"weights or the images hold such numbers, or float32 is needed (--precision float32)."
            )
        variances, directions = torch.linalg.eigh(covariance)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(layers, num_prompts, width, generator=generator, dtype=torch.float64)
        root = (
            directions * variances.clamp(min=0).sqrt()[:, None] @ directions.mT
        )  # one, whatever the directions' signs
        return Prompts((mean[:, None] + drawn @ root).float())
