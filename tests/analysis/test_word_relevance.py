"""What an answer rests on, word by word, is the slope that finite differences find, in every family."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfprompt.analysis.word_relevance import word_relevance
from selfprompt.assembly import create_model
from selfprompt.backbones.text import TextBackbone
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.prompted import PromptInsertion
from tiny_models import DEEP, FAMILIES, batch, known

SLOTS = [[6, -1, 7, -2, 12, 13], [-1, -2, 21], [30, 16, -1, 17, -2, 11]]
ROWS = [[6, 7, 8, 12, 13, 14, 9], [20, 21, 22], [30, 16, 17, 18, 11]]


def built(family: str, method: str) -> PromptedModel:
    _, backbone = known(family)
    template = {"prefix": "{text}", "prompt-tuning": "{soft:2} {text}"}[method]
    model = create_model(backbone, method, num_classes=3, num_prompts=2, answers="linear", template=template)
    insertion = model.tower.insertion
    assert isinstance(insertion, PromptInsertion)
    generator = torch.Generator().manual_seed(1)
    insertion.prompts.data = torch.randn(insertion.prompts.shape, generator=generator)
    model.initialized = True
    return model.eval()


def slope(model: PromptedModel, ids: list[int], place: int, wanted: int, step: float = 1e-2) -> Tensor:
    """The length of a logit's gradient by the embedding at a place, from central differences in every dimension."""
    assert isinstance(model.backbone, TextBackbone)
    width = model.backbone.word_width
    moved = step * torch.cat([torch.eye(width), -torch.eye(width)])

    def move(module: object, args: object, out: Tensor) -> Tensor:
        return torch.cat([out[:, :place], (out[:, place] + moved)[:, None], out[:, place + 1 :]], dim=1)

    hook = model.backbone.trunk.get_input_embeddings().register_forward_hook(move)
    try:
        up, down = model(batch([ids] * len(moved)))[:, wanted].double().chunk(2)
    finally:
        hook.remove()
    return (up - down).norm()


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_slope_by_each_word(family: str) -> None:
    method, rows = ("prefix", ROWS) if family in DEEP else ("prompt-tuning", SLOTS)
    model, texts = built(family, method), batch(rows)
    found = word_relevance(model, texts, torch.tensor([2, 0, 1]))
    special = model.backbone.vocabulary.special
    for row, wanted in ((0, 2), (1, 0)):
        places = [i for i, word in enumerate(rows[row]) if word not in special and word >= 0]
        with torch.no_grad():
            slopes = torch.stack([slope(model, rows[row], i, wanted) for i in places]).float()
        told = torch.tensor(found[row]["relevance"])
        torch.testing.assert_close(told, slopes / slopes.sum(), atol=2e-2, rtol=2e-2)
        attended, prompts = found[row]["attention"], found[row]["attention_to_prompts"]
        if family in DEEP:
            assert attended is not None
            assert prompts is not None
            assert 0 < prompts < 1
            assert len(attended) == len(places)
            assert sum(attended) + prompts <= 1 + 1e-5  # the rest is of special tokens
