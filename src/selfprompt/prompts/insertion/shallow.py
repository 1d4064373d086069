"""Prompts that enter once and flow through all blocks as tokens."""

from __future__ import annotations

from typing_extensions import Unpack

from selfprompt.backbones.base import Backbone, Context, Tokens, insert, remove
from selfprompt.inputs import count
from selfprompt.prompts.insertion.prompted import OfPrompts, PromptInsertion


class Shallow(PromptInsertion):
    """VPT-shallow (Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119).

    ``x_0 = [prefix ; P ; patches]``, then every block as it is. Prompts carry no position embedding. The readout
    does not see them unless ``keep_outputs``.

    Args:
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.
        keep_outputs: Leave the prompts' outputs in the stream, for a readout that averages them too.

    Shape: prompts (1, P, D).
    """

    def __init__(
        self, num_prompts: int, width: int, *, keep_outputs: bool = False, **rest: Unpack[OfPrompts]
    ) -> None:
        super().__init__(1, num_prompts, width, **rest)
        self.keep_outputs = keep_outputs

    def before(self, backbone: Backbone, i: int, tokens: Tokens, context: Context) -> Tokens:
        return tokens if i else insert(tokens, self.layer(0, count(context.inputs)))

    def leave(self, tokens: Tokens, context: Context) -> Tokens:
        return tokens if self.keep_outputs else remove(tokens, self.num_prompts)
