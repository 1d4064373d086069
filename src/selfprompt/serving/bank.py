"""What a pool keeps of its adapters: prompts and heads of all of them, padded to the largest."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from selfprompt.backbones.base import Backbone, BlockEdit, Context, Edits, Tokens
from selfprompt.backbones.info import Readout
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.protocol import BaseProtocol
from selfprompt.errors import UserError
from selfprompt.heads.class_text import ClassText
from selfprompt.heads.label_words import LabelWords
from selfprompt.heads.linear import LinearHead
from selfprompt.inputs import Text
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.words import filled
from selfprompt.scores.calibration import Calibration
from selfprompt.scores.several import above

MEANS: tuple[Readout, ...] = ("mae_average", "fresh_average")
"""Readouts in which prompts take part."""


@dataclass(frozen=True)
class Member:
    """What a pool keeps of one adapter.

    Args:
        prompts: (P, D) of every block, as they meet its tokens.
        free: (depth, heads, P_kv, d) keys, which are values, too, that no projection makes.
        words: (P, D) prompts among the words of a text.
        readout: See `Backbone.readout`.
        weight, bias: Of the head, divided by the adapter's temperature; a class's row is its text's unit feature
            times the scale where classes are texts.
        cosine: Whether classes are texts, beside which features are of length 1.
        class_names: Of its outputs.
        protocol: What images it was trained on.
        version: SHA-256 of its two files; None for a model that came as such.
        thresholds: Of its classes, where an image may have several labels.
        calibration: What validation says of its probabilities.
    """

    prompts: list[Tensor]
    free: Tensor
    words: Tensor
    readout: Readout
    weight: Tensor
    bias: Tensor
    cosine: bool
    class_names: list[str] | None
    protocol: BaseProtocol
    version: str | None
    thresholds: list[float] | None = None
    calibration: Calibration | None = None

    @property
    def names(self) -> list[str]:
        """Of its outputs; numbers where they have none."""
        return self.class_names or [str(i) for i in range(len(self.bias))]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Those that logits (C,) stand for."""
        return logits.float().sigmoid() if self.protocol.multi_label else logits.float().softmax(-1)

    def labels(self, probabilities: NDArray[np.floating]) -> list[str]:
        """The names of the classes that (C,) probabilities give: the likeliest; of several labels, those above their
        thresholds."""
        if not self.protocol.multi_label:
            return [self.names[int(probabilities.argmax())]]
        return [name for name, given in zip(self.names, above(probabilities, self.thresholds)) if given]


class Bank(nn.Module, Edits):
    """Prompts (T, P, D) of every block, and heads (T, C, F), padded to the largest of T members.

    It never changes: a pool that takes in or gives up an adapter makes a new one and then puts it in the old one's
    place, so that whoever is answering goes on with the bank that he has.

    Args:
        members: By task.
        like: A weight, of the device and type that the bank has.

    Attributes:
        protocol: What images they want, in which they agree; None without members.
    """

    def __init__(self, members: dict[str, Member], like: Tensor) -> None:
        super().__init__()
        self.members = members
        self.rows = {name: row for row, name in enumerate(members)}
        listed = list(members.values())
        self.protocol = listed[0].protocol if listed else None
        self.readout: Readout | None = listed[0].readout if listed else None
        words, _ = padded([member.words for member in listed], like, 0)
        self.register_buffer("among", words, persistent=False)
        free, own_free = padded([member.free for member in listed], like, 2)
        own = own_free
        for i, prompts in enumerate(zip(*(member.prompts for member in listed))):
            values, own = padded(list(prompts), like, 0)
            mask = torch.cat([own_free, own], dim=1)
            self.register_buffer(f"prompts_{i}", values, persistent=False)
            self.register_buffer(f"mask_{i}", None if mask.all() else mask, persistent=False)
        self.register_buffer("free", free, persistent=False)
        self.register_buffer("own", own, persistent=False)
        self.register_buffer("weights", padded([member.weight for member in listed], like, 0)[0], persistent=False)
        self.register_buffer("biases", padded([member.bias for member in listed], like, 0)[0], persistent=False)
        cosine = torch.tensor([member.cosine for member in listed], device=like.device)
        self.register_buffer("cosine", cosine, persistent=False)

    def words(self, content: Tensor, context: Context) -> Tensor:
        """The prompts of the members that the samples belong to, where texts have slots for some."""
        among = self.get_buffer("among")
        if not isinstance(context.inputs, Text) or not among.shape[1]:
            return content
        return filled(content, context.inputs, among[context.rows])

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        """Keys and values of the members that the samples belong to, and which of them each sees.

        Before a mean that prompts take part in, they go through the last block.
        """
        assert context.rows is not None
        rows, own = context.rows, self.get_buffer("free").shape[-2] + self.get_buffer(f"prompts_{i}").shape[1]
        if not own:
            return BlockEdit()
        used, back = rows.unique(return_inverse=True)  # of a member that has several samples, keys are made once
        prompts = self.get_buffer(f"prompts_{i}")[used]
        keys, values = backbone.keys_values(i, prompts)
        if (free := self.get_buffer("free")).shape[-2]:
            more = free[used, i].to(keys.dtype)
            keys, values = torch.cat([more, keys], dim=-2), torch.cat([more, values], dim=-2)
        mask = getattr(self, f"mask_{i}")
        asks = self.readout in MEANS and i == backbone.depth - 1
        return BlockEdit(
            extra_kv=(keys[back], values[back]),
            extra_mask=None if mask is None else mask[rows],
            asking=prompts[back].to(context.content.dtype) if asks else None,
        )

    def leave(self, tokens: Tokens, context: Context) -> Tokens:
        """Weigh the tokens of a mean so that padding has no part in it."""
        if self.readout not in MEANS:
            return tokens
        x, prefix, own = tokens.x, tokens.num_prefix, self.get_buffer("own")[context.rows]
        counted = F.pad(own.to(x.dtype), (prefix, x.shape[1] - prefix - own.shape[1]), value=1)
        averaged = counted[:, prefix:]
        scale = averaged.shape[1] / averaged.sum(dim=1, keepdim=True)
        return Tokens(x * (counted * scale)[..., None], prefix)


def padded(tensors: list[Tensor], like: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """T tensors as one, padded along a dimension; and (T, length) booleans, which places each has of its own."""
    counts = torch.tensor([t.shape[dim] for t in tensors], device=like.device)
    most = max((t.shape[dim] for t in tensors), default=0)
    own = torch.arange(most, device=like.device) < counts[:, None]
    wide = []
    for t in tensors:
        t, lacks = t.detach().to(like), most - t.shape[dim]
        wide.append(F.pad(t, (0, 0) * (t.ndim - dim - 1) + (0, lacks)) if lacks else t)
    return torch.stack(wide) if wide else like.new_empty(0), own


def scores_of(name: str, model: PromptedModel) -> tuple[Tensor, Tensor, bool]:
    """Weight (C, F) and bias (C,) of a model's head, and whether features are of length 1 before it.

    Raises:
        UserError: Its texts differ with the image.
    """
    if isinstance(model.head, ClassText):
        if model.head.reads_inputs:
            raise UserError(f"The texts of {name!r} differ with the image, and a pool has them once: take coop's.")
        weight = model.head.scale.exp() * model.head.weights()
        return weight.detach(), weight.new_zeros(len(weight)), True
    if isinstance(model.head, LabelWords):
        assert isinstance(model.backbone, TextBackbone)
        return *model.head.linear(model.backbone.num_words), False
    if not isinstance(model.head, LinearHead):
        raise UserError(f"{name!r} has a head of its own making: a pool takes linear ones, texts and label words.")
    return *plain_head(copy.deepcopy(model.head)), False


def plain_head(head: LinearHead) -> tuple[Tensor, Tensor]:
    """Weight (C, F) and bias (C,) of a head, its normalisation folded into them."""
    weight, bias = head.linear.weight, head.linear.bias
    if isinstance(head.norm, nn.BatchNorm1d):
        mean, variance = head.norm.running_mean, head.norm.running_var
        assert mean is not None
        assert variance is not None
        weight = weight / (variance + head.norm.eps).sqrt()
        bias = bias - weight @ mean
    return weight, bias
