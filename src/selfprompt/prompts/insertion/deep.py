"""Fresh prompts at every block, as keys and values only."""

from __future__ import annotations

from abc import ABC

from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from selfprompt.backbones.base import Backbone, BlockEdit, Context, KeysValues
from selfprompt.inputs import count
from selfprompt.prompts.insertion.prompted import KeyedInsertion, OfPrompts


class OfDeepPrompts(OfPrompts, total=False):
    """What every insertion of prompts at every block takes besides their number and shape (see `AtEveryBlock`)."""

    keep_outputs: bool


class AtEveryBlock(KeyedInsertion, ABC):
    """Fresh prompts at every block: keys and values, and with ``keep_outputs`` tokens of the last block, too.

    A readout that averages prompts reads their outputs there. The last block's queries are then those of the prompts,
    too; keys and values stay the same.

    Args:
        depth: Blocks of the backbone.
        num_prompts, width, dropout, parametrization: See `PromptInsertion`.
        keep_outputs: Leave the last block's prompt outputs in the stream.
    """

    by_token = True

    def __init__(
        self, depth: int, num_prompts: int, width: int, *, keep_outputs: bool = False, **rest: Unpack[OfPrompts]
    ) -> None:
        super().__init__(depth, num_prompts, width, **rest)
        self.keep_outputs = keep_outputs

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        if not self.keep_outputs or i < backbone.depth - 1:
            return BlockEdit(extra_kv=self.keys_values(backbone, i, context))
        prompts = self.layer(i, count(context.inputs))  # once: dropout leaves the same out of keys and queries
        return BlockEdit(extra_kv=self.project(backbone, i, prompts), asking=prompts)


class Deep(AtEveryBlock):
    """VPT-deep (Jia et al., "Visual Prompt Tuning", ECCV 2022, arXiv 2203.12119).

    As published, ``[prefix ; P_i ; patches]`` goes into block ``i`` and the outputs at ``P_i`` are thrown away.
    So all that a prompt does is to be a key and a value, which depend on no image:

        ``x = x + Attention(Q(x), [K(P_i) ; K(x)], [V(P_i) ; V(x)])``, ``x = x + MLP(x)``

    These are computed once a step. The result is the same (tests/parity); only where a readout averages the last
    block's prompt outputs do prompts enter the stream, there.

    Args:
        depth, num_prompts, width, keep_outputs, dropout, parametrization: See `AtEveryBlock`.

    Shape: prompts (depth, P, D).
    """

    def project(self, backbone: Backbone, i: int, prompts: Float[Tensor, "*batch prompts width"]) -> KeysValues:
        return backbone.keys_values(i, prompts)
