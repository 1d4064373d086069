"""What tells one set of weights from another: a digest that adapters carry, and cheap marks of a change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights and buffers."""
    total = hashlib.sha256()
    for name, value in parts(module):
        total.update(name.encode())
        total.update(value.cpu().numpy().data)
    return total.hexdigest()


def marks(module: nn.Module) -> bytes:
    """Names, types, shapes and sums of the bytes in two directions: several times cheaper, and done where they lie.

    A changed number shows by whatever way it came, where a tensor's version misses what goes through ``.data``.
    """
    total = hashlib.sha256()
    for name, value in parts(module):
        words = F.pad(value, (0, -len(value) % 512)).view(torch.int64).view(-1, 64)
        total.update(name.encode())
        total.update(torch.cat([words.sum(0), words.sum(1)]).cpu().numpy().data)
    return total.digest()


def parts(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each weight's and buffer's name with type and shape, and its bytes; in the order of names."""
    for name, value in sorted(module.state_dict().items()):
        yield f"{name} {value.dtype} {tuple(value.shape)}", value.detach().contiguous().view(-1).view(torch.uint8)
