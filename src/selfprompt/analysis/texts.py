"""What the texts of classes became."""

from __future__ import annotations

from typing import NotRequired

import torch
from typing_extensions import TypedDict

from selfprompt.analysis.words import CANDIDATES, legible
from selfprompt.heads.class_text import ClassText
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.words import AmongWords


class NearWord(TypedDict):
    """A word of the vocabulary, and its Euclidean distance from a prompt."""

    word: str
    distance: float


class OfTexts(TypedDict):
    """See `look_at_texts`."""

    similarity: list[list[float]]
    nearest: NotRequired[list[list[NearWord]]]


@torch.no_grad()
def look_at_texts(model: PromptedModel, words: int = 3) -> OfTexts | None:
    """How alike the classes' texts are, and which words the prompts among them are nearest to.

    Args:
        model: Trained.
        words: Named of each prompt, the nearest first, as CoOp's paper does (arXiv 2109.01134, table 4).

    Returns:
        ``similarity``, the cosines (C, C) of the classes' features; ``nearest``, of each prompt, where classes share
        them; None where classes are no texts.
    """
    head = model.head
    if not isinstance(head, ClassText):
        return None
    features = head.weights()
    found: OfTexts = {"similarity": (features @ features.T).clamp(-1, 1).tolist()}
    insertion = head.text.insertion
    if isinstance(insertion, AmongWords) and not insertion.per_class:
        prompts, table = insertion.prompts[0].float(), head.tower.embedding.weight.float()
        distances, ids = torch.cdist(prompts, table).topk(min(CANDIDATES, len(table)), largest=False)
        say = head.tower.words.decode
        near = (zip(map(say, own), far) for own, far in zip(ids.tolist(), distances.tolist()))
        named = [[NearWord(word=word, distance=d) for word, d in own if legible(word)] for own in near]
        found["nearest"] = [own[:words] for own in named]
    return found
