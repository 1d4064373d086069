"""Which words the prompts of a language model are nearest to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from typing_extensions import TypedDict

from selfprompt.analysis.effective import effective_prompts, has_prompts
from selfprompt.analysis.neighbours import nearest_patches
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.batches import Decoded, in_order
from selfprompt.inputs import Text, move
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.words import AmongWords

TEXTS = 64
"""In which words near to deep prompts are looked for."""


CANDIDATES = 50
"""How many of the nearest pieces of a vocabulary are asked whether they can be read."""


def legible(text: str) -> bool:
    """Whether a piece of a vocabulary can be read by itself: not blank, and no part of a letter's bytes."""
    return bool(text.strip()) and "\ufffd" not in text


class NearWord(TypedDict):
    """A word, and its cosine with a prompt."""

    word: str
    similarity: float


class OfPrompt(TypedDict):
    """The words nearest to a prompt, the nearest first."""

    layer: int
    prompt: int
    nearest: list[NearWord]


@torch.no_grad()
def look_at_words(model: PromptedModel, texts: Decoded, words: int = 3) -> list[OfPrompt]:
    """The words that each prompt is nearest to, by cosine (Lester et al., arXiv 2104.08691, section 7).

    Those of prompts among words are any of the vocabulary; those of deep prompts words of some texts, as the same
    block sees them. Free keys and values (``prefix``) are near to no word, and none are looked for.

    Args:
        model: Trained, of texts.
        texts: Where words are looked for.
        words: Named of each prompt.
    """
    backbone, insertion = model.backbone, model.tower.insertion
    assert isinstance(backbone, TextBackbone)
    if not has_prompts(model):
        return []
    prompts, say = effective_prompts(model), backbone.vocabulary.tokenizer.decode
    if isinstance(insertion, AmongWords):
        table = backbone.trunk.get_input_embeddings().weight[: len(backbone.vocabulary)].float()
        cosine = F.normalize(prompts[0].float(), dim=-1) @ F.normalize(table, dim=-1).T
        cosine[:, backbone.vocabulary.special] = -torch.inf
        nearest = zip(*(values.tolist() for values in cosine.topk(min(CANDIDATES, cosine.shape[1]))))
        named = ([(say([word]), s) for s, word in zip(*own)] for own in nearest)
        return [told(0, i, [one for one in own if legible(one[0])][:words]) for i, own in enumerate(named)]
    if prompts[0].shape[-1] != backbone.width:
        return []
    device = next(model.parameters()).device
    batches = [
        move(backbone.as_input(batch.inputs, model.normalize), device)
        for batch in texts.take(torch.arange(min(TEXTS, len(texts))).numpy()).batches(
            in_order(min(TEXTS, len(texts)), 32)
        )
    ]
    ids = [row for batch in batches if isinstance(batch, Text) for row in batch.ids.tolist()]
    found = []
    for layer, own in enumerate(nearest_patches(model, batches, words)):
        for index, (places, cosines) in enumerate(zip(own.sources.tolist(), own.similarity.tolist())):
            near_ones = [(say([ids[text][place]]), s) for (text, place), s in zip(places, cosines)]
            found.append(told(layer, index, near_ones))
    return found


def told(layer: int, prompt: int, near: list[tuple[str, float]]) -> OfPrompt:
    """What is said of a prompt."""
    return {
        "layer": layer,
        "prompt": prompt,
        "nearest": [{"word": w.strip(), "similarity": round(s, 4)} for w, s in near],
    }
