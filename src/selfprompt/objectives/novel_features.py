"""Texts of further classes stay where hand-written ones put them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from selfprompt.errors import UserError
from selfprompt.heads.class_text import ClassText
from selfprompt.objectives.base import Penalty
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.tower import Tower


@dataclass(frozen=True)
class NovelFeatures(Penalty):
    """NFL, the novel feature learner (Ma et al., IEEE TCSVT 33(9), 2023, arXiv 2211.02219).

        ``weight mean_k (1 - cos(w_k, w*_k))``,

    with w_k the feature of the context and name k, and w*_k the unit mean of the unit features of the same name's
    hand-written texts, which nothing changes. It needs no images.

    Args:
        names: Of the further classes.
        weight: Lambda.
        templates: The hand-written texts; ``{}`` is the name.
    """

    names: tuple[str, ...]
    weight: float
    templates: tuple[str, ...]

    def of(self, model: nn.Module) -> Callable[[], Tensor]:
        head = model.head
        if not isinstance(head, ClassText):
            raise UserError("Features of further names (nfl_names) need classes that are told by their texts.")
        novel = head.for_classes(self.names)
        frozen = Tower(head.tower, NoPrompts(), "backbone", head.text.prepare)
        with torch.no_grad():
            target = ClassText(frozen, self.names, self.templates, head.scale).weights()

        def term() -> Tensor:
            with torch.autocast(target.device.type, enabled=False):
                return self.weight * (1 - (novel.weights() * target).sum(dim=-1)).mean()

        return term
