"""Prompts that each block may leave as they were."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from typing_extensions import Unpack

from selfprompt.backbones.base import Backbone, BlockEdit, Context, Tokens, insert, remove
from selfprompt.inputs import count
from selfprompt.prompts.insertion.prompted import OfPrompts, PromptInsertion

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 10.0


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
        **rest: Unpack[OfPrompts],
    ) -> None:
        super().__init__(1, num_prompts, width, **rest)
        self.gate_priors = nn.Parameter(torch.full((depth - 1,), -float(gate_init)))
        self.temperatures = nn.Parameter(torch.ones(depth))
        self.keep_outputs = keep_outputs

    def before(self, backbone: Backbone, i: int, tokens: Tokens, context: Context) -> Tokens:
        if i:
            return tokens
        if self.training:
            with torch.no_grad():
                self.temperatures.clamp_(MIN_TEMPERATURE, MAX_TEMPERATURE)
        return insert(tokens, self.layer(0, count(context.inputs)))

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        return BlockEdit(temperature=self.temperatures[i].clamp(MIN_TEMPERATURE, MAX_TEMPERATURE))

    def after(self, i: int, before: Tokens, out: Tokens) -> Tokens:
        if i == len(self.gate_priors):
            return out
        first, last = before.num_prefix, before.num_prefix + self.num_prompts
        gate = self.gate_priors[i].sigmoid()
        mixed = gate * out.x[:, first:last] + (1 - gate) * before.x[:, first:last]
        return replace(out, x=torch.cat([out.x[:, :first], mixed, out.x[:, last:]], dim=1))

    def leave(self, tokens: Tokens, context: Context) -> Tokens:
        return tokens if self.keep_outputs else remove(tokens, self.num_prompts)
