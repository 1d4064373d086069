"""Lester's starts: random, sampled words, and the words of the classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts

COMMON = 5_000
"""Tokens of the vocabulary from whose beginning words are sampled, as SentencePiece sorts them by frequency."""

Start = Literal["random", "vocabulary", "labels"]


@dataclass(frozen=True)
class OfWords(Initialization):
    """Starts among words (Lester et al., arXiv 2104.08691, section 3.2.1).

    - ``random``: ``U(-0.5, 0.5)``.
    - ``vocabulary``: embeddings of tokens, sampled from the 5,000 most common ones.
    - ``labels``: embeddings of the label words, the mean of its tokens for a word of several; then as ``vocabulary``.

    Differences: the 5,000 are the first of the vocabulary that are no special tokens, which only a SentencePiece
    vocabulary has in the order of frequency; they are drawn without replacement where there are enough.

    Args:
        kind: Which.
        words: The label words.
        spare: Leave out words that are no token, where no answer depends on them.
    """

    kind: Start
    words: tuple[str, ...] = ()
    spare: bool = False
    needs_data = False

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        assert isinstance(backbone, TextBackbone)
        generator = torch.Generator().manual_seed(seed)
        if self.kind == "random":
            values = torch.rand(layers, num_prompts, backbone.word_width, generator=generator)
            return Prompts(values - 0.5)
        rows: list[Tensor] = []
        if self.kind == "labels":
            known = backbone.vocabulary
            ids = [known.of_word(word) for word in self.words if not self.spare or known.has(word)]
            rows = [backbone.vectors(own).mean(dim=0) for own in ids][:num_prompts]
        if left := num_prompts - len(rows):
            special = set(backbone.vocabulary.tokenizer.all_special_ids)
            common = [i for i in range(len(backbone.vocabulary)) if i not in special][:COMMON]
            order = torch.randperm(len(common), generator=generator).repeat(1 + left // len(common))[:left]
            rows += backbone.vectors([common[i] for i in order]).unbind()
        return Prompts(torch.stack(rows).float().cpu().expand(layers, -1, -1).clone())
