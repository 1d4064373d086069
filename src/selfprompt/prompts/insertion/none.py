"""No prompts: the frozen backbone itself, for the linear probe and full fine-tuning."""

from __future__ import annotations

from selfprompt.backbones.base import Backbone, Tokens
from selfprompt.prompts.base import Insertion
from selfprompt.registry import Record


class NoPrompts(Insertion):
    """Every block as it is."""

    prompts = None

    def block(self, backbone: Backbone, i: int, tokens: Tokens) -> Tokens:
        return backbone.block(i, tokens)


RECORD = Record(
    name="none",
    kind="insertion",
    title="The backbone without prompts",
    idea="The neutral setting: its output is the frozen backbone's, to the bit.",
    factory=NoPrompts,
)
