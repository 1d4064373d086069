"""Prompts that are shifted by what the text says that they meet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.backbones.base import Context
from selfprompt.inputs import Text
from selfprompt.prompts.parametrization.base import Parametrization


class Table(Parametrization):
    """IPT's lookup table (arXiv 2206.01958), on top of shared prompts.

        ``p_j -> p_j + T[x_j]``

    for the first P words ``x_1 .. x_P`` of the text, those of a template and special ones included. T starts at 0,
    so that training starts as that of shared prompts. Differences: published, the table stands alone and starts from
    U(-0.5, 0.5); where a text is shorter, padding has a row, too, where prompts without a word are the shared ones
    here.

    Args:
        vocabulary: Rows V, one a word.
        width: Of a prompt D.
    """

    reads = "text"

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(vocabulary, width))

    def forward(self, prompts: Tensor) -> Tensor:
        return prompts

    def read(self, context: Context) -> Tensor:
        """(B, L) ids of the words, the first ones first; -1 where there is none."""
        ids, order, there = words_of(context)
        return ids.gather(1, order).where(there, -1)

    def of_inputs(self, prompts: Tensor, read: Tensor) -> Tensor:
        count = prompts.shape[-2]
        ids = F.pad(read, (0, max(0, count - read.shape[1])), value=-1)[:, :count]
        return prompts + F.embedding(ids.clamp(min=0), self.rows) * (ids >= 0)[..., None]


class Bottleneck(Parametrization):
    """A generator in IPT's place of one (arXiv 2206.01958), on top of shared prompts.

        ``p_j -> p_j + [W_2 ReLU(W_1 z)]_j``

    with z the mean embedding of the text's first P words, of which max(8, F / 16) hidden units are made. W_2 starts
    at 0, so that training starts as that of shared prompts; W_1 as torch starts linear layers (until `draw` it is 0).
    IPT's own generators (CNN, BiLSTM, MLP) stand alone and read a trained table.

    Args:
        features: Width F of an embedding.
        num_prompts: Prompts P.
        width: Of a prompt D.
    """

    reads = "text"

    def __init__(self, features: int, num_prompts: int, width: int) -> None:
        super().__init__()
        self.shape = num_prompts, width
        hidden = max(8, features // 16)
        self.down = nn.Linear(features, hidden, device="meta").to_empty(device="cpu")  # which draws nothing
        self.up = nn.Linear(hidden, num_prompts * width, device="meta").to_empty(device="cpu")
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def draw(self) -> None:
        self.down.reset_parameters()

    def forward(self, prompts: Tensor) -> Tensor:
        return prompts

    def read(self, context: Context) -> Tensor:
        """(B, F) means."""
        _, order, there = words_of(context)
        first, there = order[:, : self.shape[0]], there[:, : self.shape[0], None]
        words = context.content.gather(1, first[..., None].expand(-1, -1, context.content.shape[-1]))
        return (words * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)

    def of_inputs(self, prompts: Tensor, read: Tensor) -> Tensor:
        shift: Tensor = self.up(torch.relu(self.down(read)))
        return prompts + shift.unflatten(-1, self.shape)


def words_of(context: Context) -> tuple[Tensor, Tensor, Tensor]:
    """The ids (B, L) of texts; the places of each one's words in order, then of the rest; which of these are words.

    Slots of prompts and padding are none.
    """
    inputs = context.inputs
    assert isinstance(inputs, Text)
    real = inputs.mask & (inputs.ids >= 0)
    order = real.long().argsort(dim=1, descending=True, stable=True)
    return inputs.ids, order, real.gather(1, order)
