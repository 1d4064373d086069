"""No prompts: the frozen backbone itself, for the linear probe and full fine-tuning."""

from __future__ import annotations

from selfprompt.prompts.insertion.base import Insertion


class NoPrompts(Insertion):
    """Every block as it is."""

    prompts = None
    by_token = True
