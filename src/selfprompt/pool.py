"""Many adapters on one frozen backbone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.backbones import load_backbone
from selfprompt.data.loading import Normalize
from selfprompt.errors import UserError, unknown
from selfprompt.model import Head, PromptedModel, load
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.key_value import KeyValue


class AdapterPool(nn.Module):
    """Adapters of deep prompts that answer together: each sample of a batch sees its own task's prompts and head.

    The batch goes through the backbone once. Each sample's prompts are keys and values from a bank, folded when the
    adapter is added; where adapters differ in their number of prompts, a mask hides the padding.

    Args:
        backbone: What `create_model` takes.
        image_size: Side of the input in pixels, if not the backbone's own.
    """

    def __init__(self, backbone: Any, image_size: int | None = None) -> None:
        super().__init__()
        self.backbone = load_backbone(backbone, image_size)
        self._members: dict[str, PromptedModel] = {}
        self._keys_values: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._rows: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The tasks' names, in the order in which they came."""
        return list(self._members)

    def add(self, name: str, adapter: str | os.PathLike[str] | PromptedModel) -> None:
        """Take in an adapter under a task's name.

        Args:
            name: The task.
            adapter: A folder, a hub repository, or a model around the same weights.

        Raises:
            UserError: The name is taken; the backbone's weights, the images' normalisation or the readout differ from
                the pool's; or the adapter's prompts are not keys and values.
        """
        if name in self._members:
            raise UserError(f"The pool has an adapter named {name!r} already: remove it first.")
        model = adapter if isinstance(adapter, PromptedModel) else load(adapter, self.backbone)
        if not isinstance(model.insertion, (Deep, KeyValue)) or model.readout != "backbone":
            raise UserError(
                f"{name!r} is a {model.method['name']} adapter that a pool cannot serve: it takes deep prompts "
                f"(vpt, spt, vfpt, pc, e2vpt) with the backbone's own readout."
            )
        if not isinstance(model.head, Head):
            raise UserError(f"{name!r} has a head of its own making: a pool takes linear ones.")
        first = next(iter(self._members.values()), model)
        if model.backbone_hash != first.backbone_hash or model.normalize != first.normalize:
            raise UserError(
                f"{name!r} has another backbone or normalisation than {self.names[0]!r}: use a second pool."
            )
        insertion = model.eval().insertion.to(next(self.backbone.parameters()).device)
        device = next(self.backbone.parameters()).device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):  # the bank serves with autocast and without
            made = [insertion.make(self.backbone, i, 1) for i in range(self.backbone.depth)]  # type: ignore[operator]
        self._members[name], self._keys_values[name] = model, made
        self._build()

    def remove(self, name: str) -> None:
        """Give an adapter up.

        Raises:
            UserError: There is none of that name.
        """
        if name not in self._members:
            raise unknown("adapter", name, self._members)
        del self._members[name], self._keys_values[name]
        self._build()

    @torch.no_grad()
    def _build(self) -> None:
        """The bank: keys and values (T, heads, P, d) of every block, and heads (T, C, F), padded to the largest."""
        models = list(self._members.values())
        self._rows = {name: row for row, name in enumerate(self._members)}
        if not models:
            return
        device = next(self.backbone.parameters()).device
        self.normalize: Normalize = models[0].normalize
        for i in range(self.backbone.depth):
            made = [self._keys_values[name][i] for name in self._members]
            counts = [keys.shape[-2] for keys, _ in made]
            for part, name in enumerate(("keys", "values")):
                padded = [F.pad(kv[part], (0, 0, 0, max(counts) - count)) for kv, count in zip(made, counts)]
                self.register_buffer(f"{name}_{i}", torch.stack(padded), persistent=False)
            seen = torch.arange(max(counts), device=device) < torch.tensor(counts, device=device)[:, None]
            self.register_buffer(f"seen_{i}", None if seen.all() else seen, persistent=False)
        heads = [plain_head(m.head.to(device)) for m in models]  # type: ignore[arg-type]
        most = max(len(bias) for _, bias in heads)
        weights = torch.stack([F.pad(weight, (0, 0, 0, most - len(weight))) for weight, _ in heads])
        biases = torch.stack([F.pad(bias, (0, most - len(bias))) for _, bias in heads])
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("biases", biases, persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor, tasks: Sequence[str]) -> list[Tensor]:
        """Logits of each sample, (C,) for the C classes of its task.

        Args:
            images: (B, 3, H, W), uint8 or normalised floats.
            tasks: B names.

        Raises:
            UserError: A name is unknown, or there are more or fewer of them than images.
        """
        if len(tasks) != len(images):
            raise UserError(f"There are {len(images)} images and {len(tasks)} task names: give one for each.")
        if odd := next((task for task in tasks if task not in self._rows), None):
            raise unknown("adapter", odd, self._rows)
        rows = torch.tensor([self._rows[task] for task in tasks], device=images.device)
        tokens = self.backbone.embed(self.normalize(images) if images.dtype == torch.uint8 else images)
        for i in range(self.backbone.depth):
            kv = self.get_buffer(f"keys_{i}")[rows], self.get_buffer(f"values_{i}")[rows]
            seen = getattr(self, f"seen_{i}")
            if i == self.backbone.depth - 1:
                tokens = tokens.reading(self.backbone.reads())
            tokens = self.backbone.block(i, tokens, kv, extra_mask=None if seen is None else seen[rows])
        features = self.backbone.readout(tokens)
        weights, biases = self.get_buffer("weights")[rows], self.get_buffer("biases")[rows]
        logits = torch.baddbmm(biases[..., None], weights, features[..., None].to(weights.dtype)).squeeze(-1)
        return [row[: self._members[task].num_classes] for row, task in zip(logits, tasks)]

    def predict(self, images: Tensor, tasks: Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest class of each sample in its task, and its probability."""
        answers = []
        for logits, task in zip(self(images, tasks), tasks):
            probability, label = logits.float().softmax(-1).max(-1)
            names = self._members[task].class_names
            answers.append((names[int(label)] if names else str(int(label)), float(probability)))
        return answers


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
