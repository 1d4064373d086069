"""No prompts: low-rank updates of the attention's projections, by PEFT."""

from __future__ import annotations

from selfprompt.backbones.base import Backbone
from selfprompt.prompts.insertion.base import Insertion, drawing

PROJECTIONS = ("qkv", "q_proj", "k_proj", "v_proj")
"""Of queries, keys and values: one layer for all, or one for each."""


class LowRank(Insertion):
    """LoRA (Hu et al., arXiv 2106.09685) as PEFT implements it: ``W x + (alpha / r) B A x``, B starting at 0.

    Args:
        rank: Rank r of each update.
        alpha: Its scale.
        targets: Names of the linear layers that get one.
    """

    prompts = None

    def __init__(self, rank: int, alpha: float, targets: tuple[str, ...] = PROJECTIONS) -> None:
        super().__init__()
        self.rank, self.alpha, self.targets = rank, alpha, targets

    def attach(self, backbone: Backbone, seed: int) -> None:
        """Put the updates beside the backbone's linear layers; A is drawn as PEFT does it (Kaiming)."""
        from peft import LoraConfig, inject_adapter_in_model  # pyright: ignore[reportMissingImports]

        wanted = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=list(self.targets))  # type: ignore[arg-type]
        with drawing(seed):
            inject_adapter_in_model(wanted, backbone)
