"""No prompts: low-rank updates of the attention's projections, by PEFT."""

from __future__ import annotations

from selfprompt.backbones.base import Backbone
from selfprompt.errors import UserError
from selfprompt.prompts.insertion.base import Insertion, drawing

PROJECTIONS = ("qkv", "q_proj", "k_proj", "v_proj")
"""Of queries, keys and values: one layer for all, or one for each."""
OTHERS = (
    *("Wqkv", "query_key_value", "qkv_proj", "c_attn"),
    *(name.format(part) for name in ("{}", "{}_lin") for part in "qkv"),
    *(name.format(part) for name in ("{}", "{}_proj") for part in ("query", "key", "value")),
)
"""The same in language models that have none of those."""


class LowRank(Insertion):
    """LoRA (Hu et al., arXiv 2106.09685) as PEFT implements it: ``W x + (alpha / r) B A x``, B starting at 0.

    Args:
        rank: Rank r of each update.
        alpha: Its scale.
    """

    prompts = None

    def __init__(self, rank: int, alpha: float) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha

    def attach(self, backbone: Backbone, seed: int) -> None:
        """Put the updates beside the backbone's projections; A is drawn as PEFT does it (Kaiming).

        Raises:
            UserError: None is known by its name.
        """
        from peft import LoraConfig, inject_adapter_in_model  # pyright: ignore[reportMissingImports]

        there = {name.rpartition(".")[2] for name, _ in backbone.named_modules()}
        targets = next((names for names in (PROJECTIONS, OTHERS) if there & {*names}), None)
        if targets is None:
            raise UserError(f"The attention of {backbone.info.name} has no projections that lora knows: use full.")
        wanted = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=list(targets))  # type: ignore[arg-type]
        with drawing(seed):
            inject_adapter_in_model(wanted, backbone)
