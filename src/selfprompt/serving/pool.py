"""Many adapters on one frozen backbone."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.adapters.format import AdapterConfig, find_adapter, read_adapter
from selfprompt.backbones.base import Backbone, BlockEdit, Context, Edits, Tokens
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.info import Readout
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.data.protocol import BaseProtocol
from selfprompt.errors import UserError, unknown
from selfprompt.heads.class_text import ClassText
from selfprompt.heads.linear import LinearHead
from selfprompt.inputs import images_of
from selfprompt.methods import from_description
from selfprompt.model import PromptedModel, load
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.deep import AtEveryBlock
from selfprompt.prompts.insertion.key_value import KeyValue
from selfprompt.prompts.insertion.none import NoPrompts

VIEW = ("resize", "crop_fraction", "interpolation", "mean", "std", "value_range")
"""What adapters of one pool must agree in: how an image becomes the tensor that is given to it."""


@dataclass(frozen=True)
class Member:
    """What a pool keeps of one adapter.

    Args:
        prompts: (P, D) of every block, as they meet its tokens.
        free: (depth, heads, P_kv, d) keys, which are values, too, that no projection makes.
        readout: See `Backbone.readout`.
        weight, bias: Of the head, divided by the adapter's temperature; a class's row is its text's unit feature
            times the scale where classes are texts.
        cosine: Whether classes are texts, beside which features are of length 1.
        class_names: Of its outputs.
    """

    prompts: list[Tensor]
    free: Tensor
    readout: Readout
    weight: Tensor
    bias: Tensor
    cosine: bool
    class_names: list[str] | None


class Bank(nn.Module, Edits):
    """Prompts (T, P, D) of every block, and heads (T, C, F), padded to the largest of T members.

    It never changes: a pool that takes in or gives up an adapter makes a new one and then puts it in the old one's
    place, so that whoever is answering goes on with the bank that he has.

    Args:
        members: By task.
        protocol: What images they want; None without members.
        like: A weight, of the device and type that the bank has.
    """

    def __init__(self, members: dict[str, Member], protocol: BaseProtocol | None, like: Tensor) -> None:
        super().__init__()
        self.members, self.protocol = members, protocol
        self.rows = {name: row for row, name in enumerate(members)}
        listed = list(members.values())
        self.readout: Readout | None = listed[0].readout if listed else None
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
        asks = self.readout != "backbone" and i == backbone.depth - 1
        return BlockEdit(
            extra_kv=(keys[back], values[back]),
            extra_mask=None if mask is None else mask[rows],
            asking=prompts[back].to(context.content.dtype) if asks else None,
        )

    def leave(self, tokens: Tokens, context: Context) -> Tokens:
        """Weigh the tokens of a mean so that padding has no part in it."""
        if self.readout == "backbone":
            return tokens
        x, prefix, own = tokens.x, tokens.num_prefix, self.get_buffer("own")[context.rows]
        counted = F.pad(own.to(x.dtype), (prefix, x.shape[1] - prefix - own.shape[1]), value=1)
        averaged = counted[:, prefix:]
        scale = averaged.shape[1] / averaged.sum(dim=1, keepdim=True)
        return Tokens(x * (counted * scale)[..., None], prefix)


class AdapterPool(nn.Module):
    """Adapters that answer together: each sample of a batch sees its own task's prompts and head.

    The batch goes through the backbone once. Each sample's prompts are keys and values, made of a bank's; where
    adapters differ in their number of prompts, a mask hides the padding, and those of a head alone have none. Of an
    image-text model, the texts of an adapter's classes are computed once, when it is added. Backbone and adapters
    that are given stay as they are: the pool has copies of what it needs.

    Args:
        backbone: What `create_model` takes.
        image_size: Side of the input in pixels, if not the backbone's own.

    Attributes:
        bank: What the adapters added so far have brought; see `Bank`.
    """

    def __init__(self, backbone: BackboneSource, image_size: int | None = None) -> None:
        super().__init__()
        self.source = load_backbone(backbone, image_size)
        image = self.source.image if isinstance(self.source, DualEncoder) else self.source
        self.backbone = image.private()
        self.bank = Bank({}, None, next(self.backbone.parameters()))

    @property
    def names(self) -> list[str]:
        """The tasks' names, in the order in which they came."""
        return list(self.bank.members)

    def add(self, name: str, adapter: str | os.PathLike[str] | PromptedModel) -> None:
        """Take in an adapter under a task's name.

        Args:
            name: The task.
            adapter: A folder, a hub repository, or a model around the same weights.

        Raises:
            UserError: The name is taken, or none; the adapter is none, its prompts were never started, are NaN, or
                are not keys and values; or the backbone's weights, the images' size, resizing or normalisation, or
                the readout differ from the pool's.
        """
        if not isinstance(name, str):
            raise UserError(f"The adapter's name is {name!r:.60}: give text.")
        if name in self.bank.members:
            raise UserError(f"The pool has an adapter named {name!r} already: remove it first.")
        if isinstance(adapter, PromptedModel):
            adapter.worth_keeping()
            config, insertion = adapter.adapter_config(), adapter.tower.insertion
        else:
            adapter = find_adapter(adapter)
            config, _ = read_adapter(adapter)
            method = from_description(config.method).part("inputs")
            insertion = method.insertion(self.backbone) if method else NoPrompts()
        self._check(name, config, insertion)
        model = adapter if isinstance(adapter, PromptedModel) else load(adapter, self.source)
        insertion = copy.deepcopy(model.tower.insertion).eval()
        heads, inner = self.backbone.num_heads, self.backbone.width // self.backbone.num_heads
        like = next(self.backbone.parameters())
        prompts = [like.new_empty(0, self.backbone.width)] * self.backbone.depth
        with torch.no_grad(), torch.autocast(like.device.type, enabled=False):
            if isinstance(insertion, AtEveryBlock):
                prompts = [insertion.layer(i, 1).detach() for i in range(self.backbone.depth)]
            weight, bias, cosine = scores_of(name, model)
            head = weight / model.temperature, bias / model.temperature, cosine
        free = like.new_empty(len(prompts), heads, 0, inner)
        if isinstance(insertion, KeyValue):
            free = insertion.key_values.detach()
        member = Member(prompts, free, model.readout, *head, model.class_names)
        self.bank = Bank({**self.bank.members, name: member}, config.protocol, like)

    def remove(self, name: str) -> None:
        """Remove an adapter.

        Raises:
            UserError: There is none of that name.
        """
        if name not in self.bank.members:
            raise unknown("adapter", name, self.bank.members)
        members = {other: member for other, member in self.bank.members.items() if other != name}
        self.bank = Bank(members, self.bank.protocol if members else None, next(self.backbone.parameters()))

    def _check(self, name: str, config: AdapterConfig, insertion: Insertion) -> None:
        """Refuse what the pool cannot serve, before anything is made of it."""
        if not isinstance(insertion, (AtEveryBlock, NoPrompts)):
            raise UserError(
                f"{name!r} is a {config.method['name']} adapter that a pool cannot serve: it takes deep prompts "
                f"that are keys and values alone, such as vpt's, and heads alone."
            )
        if from_description(config.method).trainable() == "backbone":
            raise UserError(f"{name!r} has weights of the backbone in it, which a pool shares: serve it by itself.")
        if self.bank.readout not in (None, config.method["readout"]):
            raise UserError(
                f"{name!r} reads {config.method['readout']}, and {self.names[0]!r} {self.bank.readout}: use a second "
                f"pool, or train with one --readout."
            )
        size = self.backbone.info.image_size
        if config.protocol.side != size:
            raise UserError(
                f"{name!r} was trained on images of {config.protocol.side} pixels and the pool's backbone sees "
                f"{size}: make the pool with image_size={config.protocol.side}."
            )
        if not self.source.answers_to(config.backbone.hash):
            raise UserError(f"{name!r} was trained on another backbone than the pool's: use a second pool.")
        known = self.bank.protocol or config.protocol
        if odd := next((f for f in VIEW if getattr(known, f) != getattr(config.protocol, f)), None):
            raise UserError(
                f"{name!r} was trained on images with {odd.replace('_', ' ')} {getattr(config.protocol, odd)}, and "
                f"{self.names[0]!r} with {getattr(known, odd)}: use a second pool."
            )

    @torch.no_grad()
    def forward(self, images: Tensor, tasks: str | Sequence[str]) -> list[Tensor]:
        """Logits of each sample, (C,) for the C classes of its task: their softmax is the adapter's probabilities.

        Args:
            images: (B, 3, H, W), uint8 or normalised floats.
            tasks: B names, or one for all.

        Raises:
            UserError: A name is unknown, there are more or fewer than images, or the images are no such tensor.
        """
        return [logits for _, logits in self._answer(self.bank, images, tasks)]

    def _answer(self, bank: Bank, images: Tensor, tasks: str | Sequence[str]) -> list[tuple[str, Tensor]]:
        """Each sample's task and logits."""
        if bank.protocol is None:
            raise UserError("The pool has no adapter yet: add one first.")
        images = images_of(self.backbone.as_input(images, bank.protocol.view().prepare))
        tasks = [tasks] * len(images) if isinstance(tasks, str) else tasks
        if not isinstance(tasks, Sequence) or not all(isinstance(task, str) for task in tasks):
            raise UserError(f"The tasks are {tasks!r:.60}: give an adapter's name, or a list of one for each image.")
        if len(tasks) != len(images):
            raise UserError(f"There are {len(images)} images and {len(tasks)} task names: give one for each.")
        if odd := next((task for task in tasks if task not in bank.rows), None):
            raise unknown("adapter", odd, bank.rows)
        if not tasks:
            return []
        rows = torch.tensor([bank.rows[task] for task in tasks], device=images.device)
        assert bank.readout is not None
        tokens = self.backbone.run(images, bank, rows=rows, read=self.backbone.read_by(bank.readout))
        features = self.backbone.readout(tokens, bank.readout)
        unit = F.normalize(features.float(), dim=-1).to(features)
        features = torch.where(bank.get_buffer("cosine")[rows, None], unit, features)
        weights, biases = bank.get_buffer("weights")[rows], bank.get_buffer("biases")[rows]
        logits = torch.baddbmm(biases[..., None], weights, features[..., None].to(weights.dtype)).squeeze(-1)
        return [(task, row[: len(bank.members[task].bias)]) for row, task in zip(logits, tasks)]

    @torch.no_grad()
    def predict(self, images: Tensor, tasks: str | Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest class of each sample in its task, and its probability."""
        bank, answers = self.bank, []
        for task, logits in self._answer(bank, images, tasks):
            probability, label = logits.float().softmax(-1).max(-1)
            names = bank.members[task].class_names
            answers.append((names[int(label)] if names else str(int(label)), float(probability)))
        return answers


def padded(tensors: list[Tensor], like: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """T tensors as one, padded along a dimension; and (T, length) booleans, which places each has of its own."""
    counts = torch.tensor([t.shape[dim] for t in tensors], device=like.device)
    most = max((t.shape[dim] for t in tensors), default=0)
    own = torch.arange(most, device=like.device) < counts[:, None]
    wide = [F.pad(t.detach().to(like), (0, 0) * (t.ndim - dim - 1) + (0, most - t.shape[dim])) for t in tensors]
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
    if not isinstance(model.head, LinearHead):
        raise UserError(f"{name!r} has a head of its own making: a pool takes linear ones and texts.")
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
