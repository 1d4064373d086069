"""Words as a start."""

from __future__ import annotations

from collections.abc import Iterable

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import ClipText
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs
from selfprompt.prompts.initialization.base import Initialization, Prompts


class FromWords(Initialization):
    """The embeddings of given words, as CoOp (Zhou et al., arXiv 2109.01134) starts from "a photo of a".

    Args:
        text: As many words as there are prompts, by the backbone's tokenizer.
    """

    needs_data = False

    def __init__(self, text: str) -> None:
        self.text = text

    def prepare(
        self, backbone: Backbone, batches: Iterable[Inputs], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        assert isinstance(backbone, ClipText)
        ids = backbone.words.encode(self.text)
        if len(ids) != num_prompts:
            raise UserError(
                f"{self.text!r} is {len(ids)} tokens for {num_prompts} prompts: give --num-prompts {len(ids)}."
            )
        rows = backbone.embedding.weight[ids].detach().float().cpu()
        return Prompts(rows.expand(layers, -1, -1).clone())
