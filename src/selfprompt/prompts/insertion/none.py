"""No prompts: the frozen backbone itself, for the linear probe and full fine-tuning."""

from __future__ import annotations

from selfprompt.prompts.insertion.base import Insertion
from selfprompt.registry import Record


class NoPrompts(Insertion):
    """Every block as it is."""

    prompts = None


RECORD = Record(
    name="none",
    kind="insertion",
    title="The backbone without prompts",
    idea="The neutral setting: its output is the frozen backbone's, to the bit.",
    factory=NoPrompts,
)
