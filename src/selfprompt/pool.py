"""Many adapters on one frozen backbone."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.adapters import AdapterConfig, read_adapter
from selfprompt.backbones.base import Backbone, BlockEdit, Context, Edits, Tokens
from selfprompt.backbones.info import Readout
from selfprompt.backbones.load import load_backbone
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError, unknown
from selfprompt.inputs import images_of
from selfprompt.methods import from_description
from selfprompt.model import Head, PromptedModel, find_adapter, load
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.key_value import KeyValue

VIEW = ("resize", "crop_fraction", "interpolation", "mean", "std")
"""What adapters of one pool must agree in: how an image becomes the tensor that is given to it."""


@dataclass(frozen=True)
class Member:
    """What a pool keeps of one adapter.

    Args:
        keys_values: (heads, P, d) of every block.
        prompts: (P, D) of the last block, which an averaging readout reads as tokens.
        readout: See `Backbone.readout`.
        weight, bias: Of the head.
        class_names: Of its outputs.
    """

    keys_values: list[tuple[Tensor, Tensor]]
    prompts: Tensor
    readout: Readout
    weight: Tensor
    bias: Tensor
    class_names: list[str] | None


class Bank(nn.Module, Edits):
    """Keys and values (T, heads, P, d) of every block, and heads (T, C, F), padded to the largest of T members.

    It never changes: a pool that takes in or gives up an adapter makes a new one and then puts it in the old one's
    place, so that whoever is answering goes on with the bank that he has.
    """

    def __init__(self, members: dict[str, Member], protocol: Protocol | None, device: torch.device) -> None:
        super().__init__()
        self.members, self.protocol = members, protocol
        self.rows = {name: row for row, name in enumerate(members)}
        listed = list(members.values())
        self.readout: Readout | None = listed[0].readout if listed else None
        own = torch.tensor([len(member.prompts) for member in listed], device=device)
        longest = max((len(member.prompts) for member in listed), default=0)
        padded = [F.pad(member.prompts, (0, 0, 0, longest - len(member.prompts))) for member in listed]
        self.register_buffer("prompts", stacked(padded, device), persistent=False)
        self.register_buffer("own", torch.arange(longest, device=device) < own[:, None], persistent=False)
        for i, made in enumerate(zip(*(member.keys_values for member in listed))):
            counts = [keys.shape[-2] for keys, _ in made]
            for part, name in enumerate(("keys", "values")):
                padded = [F.pad(kv[part], (0, 0, 0, max(counts) - count)) for kv, count in zip(made, counts)]
                self.register_buffer(f"{name}_{i}", stacked(padded, device), persistent=False)
            seen = torch.arange(max(counts), device=device) < torch.tensor(counts, device=device)[:, None]
            self.register_buffer(f"seen_{i}", None if seen.all() else seen, persistent=False)
        most = max((len(member.bias) for member in listed), default=0)
        weights = [F.pad(member.weight, (0, 0, 0, most - len(member.weight))) for member in listed]
        biases = [F.pad(member.bias, (0, most - len(member.bias))) for member in listed]
        self.register_buffer("weights", stacked(weights, device), persistent=False)
        self.register_buffer("biases", stacked(biases, device), persistent=False)

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        """Keys and values of the members that the samples belong to, and which of them each sees.

        Before a mean that prompts take part in, they go through the last block.
        """
        seen = getattr(self, f"seen_{i}")
        kv = self.get_buffer(f"keys_{i}")[context.rows], self.get_buffer(f"values_{i}")[context.rows]
        asking = None
        if self.readout != "backbone" and i == backbone.depth - 1:
            asking = self.get_buffer("prompts")[context.rows].to(context.content.dtype)
        return BlockEdit(extra_kv=kv, extra_mask=None if seen is None else seen[context.rows], asking=asking)

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
    """Adapters of deep prompts that answer together: each sample of a batch sees its own task's prompts and head.

    The batch goes through the backbone once. Each sample's prompts are keys and values from a bank, folded when the
    adapter is added; where adapters differ in their number of prompts, a mask hides the padding. Backbone and
    adapters that are given stay as they are: the pool has copies of what it needs.

    Args:
        backbone: What `create_model` takes.
        image_size: Side of the input in pixels, if not the backbone's own.

    Attributes:
        bank: What the adapters added so far have brought; see `Bank`.
    """

    def __init__(self, backbone: Any, image_size: int | None = None) -> None:
        super().__init__()
        self.backbone = load_backbone(backbone, image_size).private()
        self.bank = Bank({}, None, torch.device("cpu"))

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
            UserError: The name is taken; the backbone's weights, the images' size, resizing or normalisation, or the
                readout differ from the pool's; or the adapter's prompts are not keys and values.
        """
        if name in self.bank.members:
            raise UserError(f"The pool has an adapter named {name!r} already: remove it first.")
        if isinstance(adapter, PromptedModel):
            if not isinstance(adapter.head, Head):
                raise UserError(f"{name!r} has a head of its own making: a pool takes linear ones.")
            config, insertion = adapter.adapter_config(), adapter.insertion
        else:
            adapter = find_adapter(adapter)
            config, _ = read_adapter(adapter)
            insertion = from_description(config.method).insertion(self.backbone)
        self._check(name, config, insertion)
        model = adapter if isinstance(adapter, PromptedModel) else load(adapter, self.backbone)
        device = next(self.backbone.parameters()).device
        insertion = copy.deepcopy(model.insertion).eval().to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):  # the bank serves with autocast and without
            made = [insertion.make(self.backbone, i, 1) for i in range(self.backbone.depth)]  # type: ignore[operator]
            prompts: Tensor = insertion.layer(self.backbone.depth - 1, 1)  # type: ignore[operator]
            head = plain_head(copy.deepcopy(model.head))  # type: ignore[arg-type]
            member = Member(made, prompts, model.readout, *head, model.class_names)
        self.bank = Bank({**self.bank.members, name: member}, config.protocol, device)

    def remove(self, name: str) -> None:
        """Give an adapter up.

        Raises:
            UserError: There is none of that name.
        """
        if name not in self.bank.members:
            raise unknown("adapter", name, self.bank.members)
        members = {other: member for other, member in self.bank.members.items() if other != name}
        self.bank = Bank(members, self.bank.protocol if members else None, next(self.backbone.parameters()).device)

    def _check(self, name: str, config: AdapterConfig, insertion: Insertion) -> None:
        """Refuse what the pool cannot serve, before anything is made of it."""
        if not isinstance(insertion, (Deep, KeyValue)):
            raise UserError(
                f"{name!r} is a {config.method['name']} adapter that a pool cannot serve: it takes deep prompts "
                f"(vpt, spt, vfpt, pc, e2vpt)."
            )
        if self.bank.readout not in (None, config.method["readout"]):
            raise UserError(
                f"{name!r} reads {config.method['readout']}, and {self.names[0]!r} {self.bank.readout}: use a second "
                f"pool, or train with one --readout."
            )
        size = self.backbone.info.image_size
        if config.protocol.image_size != size:
            raise UserError(
                f"{name!r} was trained on images of {config.protocol.image_size} pixels and the pool's backbone sees "
                f"{size}: make the pool with image_size={config.protocol.image_size}."
            )
        if not self.backbone.answers_to(config.backbone.hash):
            raise UserError(f"{name!r} was trained on another backbone than the pool's: use a second pool.")
        known = self.bank.protocol or config.protocol
        if odd := next((f for f in VIEW if getattr(known, f) != getattr(config.protocol, f)), None):
            raise UserError(
                f"{name!r} was trained on images with {odd.replace('_', ' ')} {getattr(config.protocol, odd)}, and "
                f"{self.names[0]!r} with {getattr(known, odd)}: use a second pool."
            )

    @torch.no_grad()
    def forward(self, images: Tensor, tasks: str | Sequence[str]) -> list[Tensor]:
        """Logits of each sample, (C,) for the C classes of its task.

        Args:
            images: (B, 3, H, W), uint8 or normalised floats.
            tasks: B names, or one for all.

        Raises:
            UserError: A name is unknown, or there are more or fewer of them than images.
        """
        return self._answer(self.bank, images, tasks)

    def _answer(self, bank: Bank, images: Tensor, tasks: str | Sequence[str]) -> list[Tensor]:
        tasks = [tasks] * len(images) if isinstance(tasks, str) else tasks
        if len(tasks) != len(images):
            raise UserError(f"There are {len(images)} images and {len(tasks)} task names: give one for each.")
        if odd := next((task for task in tasks if task not in bank.rows), None):
            raise unknown("adapter", odd, bank.rows)
        if bank.protocol is None:
            return []
        rows = torch.tensor([bank.rows[task] for task in tasks], device=images.device)
        if images.dtype == torch.uint8:
            images = images_of(bank.protocol.view().prepare(images))
        assert bank.readout is not None
        read = self.backbone.read_by(bank.readout)
        tokens = self.backbone.run(images, bank, rows=rows, read=read)
        features = self.backbone.readout(tokens, bank.readout)
        weights, biases = bank.get_buffer("weights")[rows], bank.get_buffer("biases")[rows]
        logits = torch.baddbmm(biases[..., None], weights, features[..., None].to(weights.dtype)).squeeze(-1)
        return [row[: len(bank.members[task].bias)] for row, task in zip(logits, tasks)]

    @torch.no_grad()
    def predict(self, images: Tensor, tasks: str | Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest class of each sample in its task, and its probability."""
        bank, answers = self.bank, []
        tasks = [tasks] * len(images) if isinstance(tasks, str) else tasks
        for logits, task in zip(self._answer(bank, images, tasks), tasks):
            probability, label = logits.float().softmax(-1).max(-1)
            names = bank.members[task].class_names
            answers.append((names[int(label)] if names else str(int(label)), float(probability)))
        return answers


def stacked(tensors: list[Tensor], device: torch.device) -> Tensor:
    """Tensors of one shape as one tensor on a device."""
    return torch.stack([t.detach().to(device) for t in tensors]) if tensors else torch.empty(0, device=device)


def plain_head(head: Head) -> tuple[Tensor, Tensor]:
    """Weight (C, F) and bias (C,) of a head, its normalisation folded into them."""
    weight, bias = head.linear.weight, head.linear.bias
    if isinstance(head.norm, nn.BatchNorm1d):
        mean, variance = head.norm.running_mean, head.norm.running_var
        assert mean is not None
        assert variance is not None
        weight = weight / (variance + head.norm.eps).sqrt()
        bias = bias - weight @ mean
    return weight, bias
