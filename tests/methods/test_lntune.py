"""What LN-Tune trains."""

from __future__ import annotations

from conftest import make_backbone
from selfprompt.assembly import create_model


def test_scale_and_shift_of_every_norm_are_trained_and_nothing_else_of_the_backbone() -> None:
    model = create_model(make_backbone("LayerScale and qk-norm"), "lntune", num_classes=3)
    trained = {name for name, p in model.backbone.named_parameters() if p.requires_grad}
    norms = ["vit.norm", *(f"vit.blocks.{i}.{part}" for i in range(3) for part in ("norm1", "norm2"))]
    norms += [f"vit.blocks.{i}.attn.{part}" for i in range(3) for part in ("q_norm", "k_norm")]
    assert trained == {f"{norm}.{part}" for norm in norms for part in ("weight", "bias")}
