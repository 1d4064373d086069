"""In what precision a backbone multiplies, and what holds there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Original:
    """What a cast backbone was made of: no submodule of it, and not copied with it."""

    backbone: Any

    def __deepcopy__(self, memo: Any) -> Original:
        return self


def as_under_autocast(method: Function) -> Function:
    """A method of a backbone that computes as under autocast where the backbone is `cast`, wherever it is called."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.cast_to is None or torch.is_autocast_enabled(device := next(self.parameters()).device.type):
            return method(self, *args, **kwargs)
        with torch.autocast(device, self.cast_to):
            return method(self, *args, **kwargs)

    return run  # type: ignore[return-value]


def frozen_matrices(backbone: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """What is multiplied by and not trained: module, name and value of linear and convolution weights and biases."""
    for module in backbone.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            for name, value in module.named_parameters(recurse=False):
                if not value.requires_grad:
                    yield module, name, value


def fused_is_faster(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether fused attention is the faster one: not in half precision on a CPU, where its backward pass is slow."""
    return device.type != "cpu" or dtype.itemsize >= 4
