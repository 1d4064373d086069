"""Which words of a text its answer rests on."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import TypedDict

from selfprompt.backbones.base import watching
from selfprompt.backbones.text import TextBackbone
from selfprompt.inputs import Text
from selfprompt.model import PromptedModel


class OfText(TypedDict):
    """One text, by its words in their order, those of the template among them.

    ``relevance`` is of their sum; ``attention`` is the last block's, by all heads alike, from where the answer stands
    (from the mean over words, where that is read), and ``attention_to_prompts`` what prompts have of it; both are
    None for models whose attention is not to be seen.
    """

    words: list[str]
    relevance: list[float]
    attention: list[float] | None
    attention_to_prompts: float | None


def word_relevance(model: PromptedModel, texts: Text, classes: Tensor | None = None) -> list[OfText]:
    """What an answer rests on: the length of its logit's gradient by each word's embedding.

    Li et al., "Visualizing and Understanding Neural Models in NLP", NAACL 2016, arXiv 1506.01066. It holds for every
    model of texts, whatever its attention is like. (The gradient times the embedding does not: it is 0 where
    embeddings are normalised.)

    Args:
        model: With prompts or without.
        texts: B texts.
        classes: (B,) whose logits are explained; those predicted if left out.
    """
    backbone = model.eval().backbone
    assert isinstance(backbone, TextBackbone)
    given: list[Tensor] = []

    def keep(module: object, args: object, out: Tensor) -> Tensor:
        if given:  # a decoder's own words
            return out
        given.append(out if out.requires_grad else out.detach().requires_grad_())
        return given[0]

    hook = backbone.trunk.get_input_embeddings().register_forward_hook(keep)
    try:
        with torch.enable_grad(), watching(backbone) as seen:
            logits = model(texts)
            chosen = logits.argmax(dim=-1) if classes is None else classes
            (slope,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), given)
    finally:
        hook.remove()
    special = torch.tensor(backbone.vocabulary.special, device=texts.ids.device)
    real = texts.mask & (texts.ids >= 0) & ~torch.isin(texts.ids, special)
    worth = slope.float().norm(dim=-1) * real
    worth = worth / worth.sum(dim=1, keepdim=True).clamp(min=torch.finfo(worth.dtype).tiny)
    seen_from = looked(seen["tokens"][-1].detach().float(), texts, model) if seen["tokens"] else None
    say = backbone.vocabulary.tokenizer.decode
    found: list[OfText] = []
    for i, own in enumerate(real):
        entry = OfText(
            words=[say([word]).strip() for word in texts.ids[i, own].tolist()],
            relevance=worth[i, own].tolist(),
            attention=None,
            attention_to_prompts=None,
        )
        if seen_from is not None:
            words = seen_from[i, -texts.ids.shape[1] :]
            entry["attention"] = words[own].tolist()
            entry["attention_to_prompts"] = float(seen_from[i].sum() - words[texts.ids[i] >= 0].sum())
        found.append(entry)
    return found


def looked(weights: Tensor, texts: Text, model: PromptedModel) -> Tensor:
    """(B, heads, N, M) attention to (B, M): from where the answer stands, or from the words whose mean is read."""
    weights = weights.mean(dim=1)
    if model.tower.readout == "words" and model.backbone.kind != "encoder-decoder":  # type: ignore[attr-defined]
        return weights[torch.arange(len(weights), device=weights.device), texts.at]
    words = (texts.mask & (texts.ids >= 0)).float()[..., None]
    return (weights * words).sum(dim=1) / words.sum(dim=1)
