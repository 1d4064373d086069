"""The method and the backbone of a run whose user names none."""

from __future__ import annotations

import logging

from selfprompt.backbones.timm_hub import out_of_reach
from selfprompt.data.sources import locate, names
from selfprompt.methods import read_spec

logger = logging.getLogger("selfprompt")

AUTO, METHOD = "auto", "spt"
GENERAL, SIDE = "vit_small_patch14_reg4_dinov2.lvd142m", 224
"""What images of the user's own are given: DINOv2's small model with registers (arXiv 2304.07193, 2309.16588).

It learned from 142 million images of all kinds without labels, so that its features are for no task in particular;
22 million weights are 88 MB and run on a laptop; its licence, Apache-2.0, lets anybody use it. At 224 pixels, not at
its own 518, an image costs a seventh.
"""

BETTER = {
    "builtin-clip": "--backbone open_clip:ViT-B-16/openai",
    "builtin-text": "--backbone text:FacebookAI/roberta-base",
}


def method_of(spec: str) -> tuple[str, dict[str, str]]:
    """`read_spec` of a method; that of ``auto`` is `METHOD`."""
    name, fields = read_spec(spec)
    return METHOD if name == AUTO else name, fields


def unnamed(packaged: str, data: str | None) -> tuple[str, int | None]:
    """The backbone where none is named, or ``auto``, and the side of its images if not its own.

    The embedded example and registered data are run on the packaged one, images of the user's own on `GENERAL` where
    the hub's cache has it or the hub can be reached. What is chosen for the user's own data is logged.

    Args:
        packaged: The method's own.
        data: What `locate` takes; None is the embedded example.
    """
    if data is None or locate(data) in names():
        return packaged, None
    if packaged in BETTER:
        logger.warning(
            "No --backbone is given, so %s is used, a small model for trying things out: better is %s.",
            *(packaged, BETTER[packaged]),
        )
        return packaged, None
    if (why := out_of_reach(GENERAL)) is not None:
        logger.warning(
            "No --backbone is given, and %s cannot be had (%s), so %s is used, a model of 32 by 32 pixels for trying "
            "things out: better is --backbone NAME or FILE, or a way to the hub once.",
            *(GENERAL, why, packaged),
        )
        return packaged, None
    logger.warning(
        "No --backbone is given, so %s is used at %d pixels, a general model of 22 million weights (Apache-2.0).",
        *(GENERAL, SIDE),
    )
    return GENERAL, SIDE
