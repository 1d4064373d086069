"""Prompts that each block may leave as they were."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from selfprompt.backbones.base import Backbone, Tokens
from selfprompt.prompts.base import PromptInsertion, insert, remove
from selfprompt.registry import Record

COLDEST, HOTTEST = 0.01, 10.0


class Gated(PromptInsertion):
    """GateVPT (Yoo et al., "Improving Visual Prompt Tuning for Self-supervised Vision Transformers", 2306.05067).

    Prompts enter once, as in VPT-shallow. With ``Z`` the prompts that enter block ``l`` and ``Z'`` its raw outputs
    there, the next block sees

        ``g_l Z' + (1 - g_l) Z``,  ``g_l = sigmoid(gamma_l)``,  ``l = 1 .. depth - 1`` (the last block is not gated)

    and block ``l`` divides its attention scores by a temperature ``tau_l``, kept within [0.01, 10]. Gates at 1 and
    temperatures at 1 are VPT-shallow; gates at 0 show the same prompts to every block.

    Args:
        depth: Blocks of the backbone.
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.
        gate_init: The gates start at ``sigmoid(-gate_init)``: 5 is almost closed, as published.
        keep_outputs: Leave the prompts' outputs in the stream, for a readout that averages them too.

    Shape: prompts (1, P, D), gate_priors (depth - 1,), temperatures (depth,).
    """

    def __init__(
        self,
        depth: int,
        num_prompts: int,
        width: int,
        *,
        gate_init: float = 5.0,
        keep_outputs: bool = False,
        **rest: Any,
    ) -> None:
        super().__init__(1, num_prompts, width, **rest)
        self.gate_priors = nn.Parameter(torch.full((depth - 1,), -float(gate_init)))
        self.temperatures = nn.Parameter(torch.ones(depth))
        self.keep_outputs = keep_outputs

    def enter(self, backbone: Backbone, tokens: Tokens) -> Tokens:
        if self.training:
            with torch.no_grad():
                self.temperatures.clamp_(COLDEST, HOTTEST)
        return insert(tokens, self.layer(0, tokens.x.shape[0]))

    def block(self, backbone: Backbone, i: int, tokens: Tokens) -> Tokens:
        out = backbone.block(i, tokens, temperature=self.temperatures[i].clamp(COLDEST, HOTTEST))
        if i == backbone.depth - 1:
            return out
        first, last = tokens.num_prefix, tokens.num_prefix + self.num_prompts
        gate = self.gate_priors[i].sigmoid()
        mixed = gate * out.x[:, first:last] + (1 - gate) * tokens.x[:, first:last]
        return Tokens(torch.cat([out.x[:, :first], mixed, out.x[:, last:]], dim=1), tokens.num_prefix)

    def leave(self, backbone: Backbone, tokens: Tokens) -> Tokens:
        return tokens if self.keep_outputs else remove(tokens, self.num_prompts)


RECORD = Record(
    name="gated",
    kind="insertion",
    title="Improving Visual Prompt Tuning for Self-supervised Vision Transformers",
    arxiv="2306.05067",
    year=2023,
    idea="Prompts flow as tokens, and a learnt gate at every block says how much of its output they take.",
    factory=Gated,
)
