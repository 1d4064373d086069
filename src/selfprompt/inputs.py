"""What goes into a tower: images or texts, in batches with their labels.

NamedTuples are pytrees, so that torch.compile, export, checkpointing and DDP take them as they are.

Annotations name the axes of tensors, which tests check (jaxtyping). An axis has one name everywhere:

    ``batch`` B samples, ``high`` and ``wide`` pixels of an image, ``length`` L words of the longest text;
    ``tokens`` N of a stream: prefix, prompts and content; ``content`` M patches or words; ``width`` D of a token;
    ``layers`` blocks with prompts of their own, ``prompts`` P of one layer;
    ``heads`` of an attention, ``head_width`` d of each, ``queries`` Q and ``keys`` of it;
    ``features`` F of a readout, ``classes`` C of a head.

``*batch`` is of what all samples share, or each has its own of: (P, D) or (B, P, D).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


class Text(NamedTuple):
    """A batch of texts.

    Args:
        ids: (B, L) int64.
        mask: (B, L) booleans, False on padding.
        at: (B,) int64, the position that is read: the end token, the mask token, or the last token.
    """

    ids: Int64[Tensor, "batch length"]
    mask: Bool[Tensor, "batch length"]
    at: Int64[Tensor, " batch"]


Inputs = Tensor | Text
"""Images (B, 3, H, W), uint8 or normalised floats; or texts."""


class Batch(NamedTuple):
    """Inputs and their labels.

    Args:
        inputs: B of them.
        labels: (B,) int64, or (B, C) booleans where an input may have several; None where there are none, so that
            what runs at test time cannot see a label.
    """

    inputs: Inputs
    labels: Int64[Tensor, " batch"] | Bool[Tensor, "batch classes"] | None


def images_of(inputs: Inputs) -> Tensor:
    """The images; what looks at patches takes nothing else."""
    assert isinstance(inputs, Tensor)
    return inputs


def count(inputs: Inputs) -> int:
    """Samples B."""
    return inputs.shape[0] if isinstance(inputs, Tensor) else inputs.ids.shape[0]  # `len` would be fixed by export


def take(inputs: Inputs, index: Tensor | slice) -> Inputs:
    """The samples at ``index``."""
    return inputs[index] if isinstance(inputs, Tensor) else Text(*(part[index] for part in inputs))


def move(inputs: Inputs, device: torch.device | str) -> Inputs:
    """The samples on a device."""
    return inputs.to(device) if isinstance(inputs, Tensor) else Text(*(part.to(device) for part in inputs))


def place(batch: Batch, device: torch.device | str) -> Batch:
    """The batch on a device."""
    return Batch(move(batch.inputs, device), None if batch.labels is None else batch.labels.to(device))


def cut(batch: Batch, pieces: int) -> list[Batch]:
    """A batch in so many pieces, as equal as can be."""
    sizes = [len(part) for part in torch.arange(count(batch.inputs)).tensor_split(pieces)]
    found, start = [], 0
    for size in sizes:
        part = slice(start, start + size)
        labels = None if batch.labels is None else batch.labels[part]
        found.append(Batch(take(batch.inputs, part), labels))
        start += size
    return found
