"""Subspace prompt tuning."""

from __future__ import annotations

from typing import ClassVar

from selfprompt.methods.coop import CoOp
from selfprompt.registry import Record
from selfprompt.rules import Directions


class SubPT(CoOp):
    """Ma et al., "Understanding and Mitigating Overfitting in Prompt Tuning for Vision-Language Models", IEEE TCSVT
    33(9), 2023, arXiv 2211.02219.

    CoOp, trained twice from the same start: the first training's early epochs give the directions, within which the
    second one moves (see `Subspace`). Every other method's prompts are so trained with the same field:
    ``create_model(..., "vpt", subspace="early")``.

    The recipe is CoOp's. Published by shots, with epochs, early epochs and directions: 1 (50, 10, 5), 2 (100, 20,
    10), 4 (100, 30, 10), 8 (200, 40, 10), 16 (200, 50, 10); what is left open gives the last of these, 12 and 6 at
    50 epochs, and 25 and 10 at 100. The first training ends after its early epochs, under the schedule of all, which
    gives the same directions for less. As published, weight decay acts outside the subspace, too.
    """

    name: ClassVar[str] = "subpt"
    subspace: Directions | None = "early"


RECORD = Record(
    name="subpt",
    paper="subpt2023",
    idea="The words around a class's name are trained along the directions in which a first training moved early.",
    entry="SubPT",
)
