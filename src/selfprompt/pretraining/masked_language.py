"""The masked language model that is trained, transformers' own ModernBERT, and its loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.errors import UserError
from selfprompt.pretraining.config import TextConfig
from selfprompt.pretraining.texts import END, PAD, START, Windows

ROPES = ("full_attention", "sliding_attention")
START_RMS = 0.1
"""Of the numbers of a word's vector, which training changes by some thousandths a step."""


class MaskedLanguageModel(nn.Module):
    """ModernBERT (Warner et al., arXiv 2412.13663), full attention in all blocks, with its loss on a batch.

    Tokens attend to those of their own text: positions are relative, so that a text in a window with others is what
    it is alone.

    Shape: windows (B, L) to a scalar.
    """

    def __init__(self, config: TextConfig, vocabulary: int) -> None:
        from transformers import ModernBertConfig, ModernBertForMaskedLM

        super().__init__()
        if config.width % config.heads or (config.width // config.heads) % 2:
            raise UserError("--width must be a multiple of --heads, and an even one.")
        self.config = config
        self.model: Any = ModernBertForMaskedLM(
            ModernBertConfig(
                vocab_size=vocabulary,
                hidden_size=config.width,
                intermediate_size=config.inner,
                num_hidden_layers=config.depth,
                num_attention_heads=config.heads,
                layer_types=["full_attention"] * config.depth,
                rope_parameters={kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ROPES},
                max_position_embeddings=512,
                pad_token_id=PAD,
                bos_token_id=START,
                cls_token_id=START,
                eos_token_id=END,
                sep_token_id=END,
            )
        )
        if config.compiled:
            self.model.model.compile(dynamic=False)

    @torch.no_grad()
    def start_from(self, vectors: Tensor, counts: Tensor) -> None:
        """Take words' vectors (V, D), each stretched to the same length, and frequencies (V) as first scores."""
        words = self.model.get_input_embeddings().weight
        known = vectors.norm(dim=1) > 0
        words[known, : vectors.shape[1]] = F.normalize(vectors[known], dim=1) * START_RMS * words.shape[1] ** 0.5
        self.model.decoder.bias.copy_(((counts + 1) / (counts + 1).sum()).log())

    def forward(self, windows: Windows) -> Tensor:
        """The mean over hidden tokens of the cross-entropy of all words."""
        own = windows.texts[:, None, :, None] == windows.texts[:, None, None, :]
        mask = torch.zeros(own.shape, device=own.device).masked_fill(~own, torch.finfo(torch.float32).min)
        x = self.model.model(input_ids=windows.ids, attention_mask=mask).last_hidden_state
        told = windows.hidden >= 0
        return F.cross_entropy(self.model.decoder(self.model.head(x[told])), windows.hidden[told])
