"""Prompts that enter once and flow through all blocks as tokens."""

from __future__ import annotations

import torch.nn.functional as F

from selfprompt.backbones.base import Backbone, Tokens
from selfprompt.prompts.base import Insertion, insert, new_prompts, remove
from selfprompt.registry import Record


class Shallow(Insertion):
    """VPT-shallow (Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119).

    ``x_0 = [prefix ; P ; patches]``, then every block as it is. Prompts carry no position embedding. The readout
    does not see them unless ``keep_outputs``.

    Args:
        width: Token width D.
        num_prompts: Prompts P.
        dropout: Of each sample's copy of the prompts, in training.
        keep_outputs: Leave the prompts' outputs in the stream, for a readout that averages them too.

    Shape: prompts (1, P, D).
    """

    def __init__(self, width: int, num_prompts: int, *, dropout: float = 0.0, keep_outputs: bool = False) -> None:
        super().__init__()
        self.prompts = new_prompts(1, num_prompts, width)
        self.dropout, self.keep_outputs = dropout, keep_outputs

    def enter(self, backbone: Backbone, tokens: Tokens) -> Tokens:
        assert self.prompts is not None
        prompts = self.prompts[0]
        if self.dropout and self.training:
            prompts = F.dropout(prompts.expand(len(tokens.x), -1, -1), self.dropout)
        return insert(tokens, prompts)

    def block(self, backbone: Backbone, i: int, tokens: Tokens) -> Tokens:
        return backbone.block(i, tokens)

    def leave(self, backbone: Backbone, tokens: Tokens) -> Tokens:
        assert self.prompts is not None
        return tokens if self.keep_outputs else remove(tokens, self.prompts.shape[1])


RECORD = Record(
    name="shallow",
    kind="insertion",
    title="Visual Prompt Tuning",
    arxiv="2203.12119",
    year=2022,
    idea="Prompts enter between prefix and patches before the first block and flow through as tokens.",
    factory=Shallow,
)
