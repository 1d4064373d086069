"""Fresh prompts at every block, as keys and values only."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from selfprompt.backbones.base import Backbone, Tokens
from selfprompt.prompts.base import KeyedInsertion, insert
from selfprompt.registry import Record


class Deep(KeyedInsertion):
    """VPT-deep (Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119).

    As published, ``[prefix ; P_i ; patches]`` goes into block ``i`` and the outputs at ``P_i`` are thrown away.
    So all that a prompt does is to be a key and a value, which depend on no image:

        ``x = x + Attention(Q(x), [K(P_i) ; K(x)], [V(P_i) ; V(x)])``, ``x = x + MLP(x)``

    These are computed once a step. The result is the same (tests/parity); the prompts never enter the stream.
    With ``keep_outputs`` the last block runs them as tokens, since a readout that averages them reads their
    outputs there.

    Args:
        depth: Blocks of the backbone.
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.
        keep_outputs: Leave the last block's prompt outputs in the stream.

    Shape: prompts (depth, P, D).
    """

    def __init__(self, depth: int, num_prompts: int, width: int, *, keep_outputs: bool = False, **rest: Any) -> None:
        super().__init__(depth, num_prompts, width, **rest)
        self.keep_outputs = keep_outputs

    def make(self, backbone: Backbone, i: int, batch: int) -> tuple[Tensor, Tensor]:
        return backbone.keys_values(i, self.layer(i, batch))

    def block(self, backbone: Backbone, i: int, tokens: Tokens) -> Tokens:
        if self.keep_outputs and i == backbone.depth - 1:
            return backbone.block(i, insert(tokens, self.layer(i, tokens.x.shape[0])))
        return backbone.block(i, tokens, extra_kv=self.keys_values(backbone, i, tokens.x.shape[0]))


RECORD = Record(
    name="deep",
    kind="insertion",
    title="Visual Prompt Tuning",
    arxiv="2203.12119",
    year=2022,
    idea="Every block has prompts of its own; only their keys and values matter, so only these are computed.",
    factory=Deep,
)
