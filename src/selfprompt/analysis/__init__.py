"""What prompts do: what they share with patches, what is attended, where each came from, and what each is worth."""

from selfprompt.analysis.adapter import analyse
from selfprompt.analysis.attention import Attention, attention, relevance
from selfprompt.analysis.effective import effective_prompts
from selfprompt.analysis.information import mutual_information, shared_information
from selfprompt.analysis.neighbours import Neighbours, nearest_patches
from selfprompt.analysis.worth import leave_one_out, saliency

__all__ = [
    "Attention",
    "Neighbours",
    "analyse",
    "attention",
    "effective_prompts",
    "leave_one_out",
    "mutual_information",
    "nearest_patches",
    "relevance",
    "saliency",
    "shared_information",
]
