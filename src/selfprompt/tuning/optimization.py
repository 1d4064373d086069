"""Optimiser, learning rate, moving average and batch size of the fit loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from selfprompt.backbones.precision import fused_is_faster
from selfprompt.errors import Diverged
from selfprompt.memory import free_memory
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel

SHORT = 10  # steps


def make_optimizer(model: PromptedModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD; prompts and head have weight decays of their own, one-dimensional parameters none."""
    groups = parameter_groups(
        model.named_parameters(), lambda name: recipe.head_weight_decay if of_the_head(name) else recipe.weight_decay
    )
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.lr)


def of_the_head(name: str) -> bool:
    """Whether a model's parameter, by its name, is the head's own: prompts of the classes' texts are prompts."""
    return name.startswith("head.") and not name.startswith("head.text.")


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], decay: Callable[[str], float]
) -> list[dict[str, Any]]:
    """Those trained, as groups of one weight decay each: by a parameter's name, and 0 for one dimension."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            groups.setdefault(0.0 if parameter.ndim <= 1 else decay(name), []).append(parameter)
    return [{"params": params, "weight_decay": value} for value, params in groups.items()]


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of optimiser step ``step`` (from 0) of ``steps``: linear warm-up, then half a cosine to its end.

    Fewer than ten steps of which the warm-up has less than one would leave out the peak, and spend their last, or
    only, step at ``min_lr``: they begin at the peak, and the cosine ends one step behind the last.
    """
    if steps < SHORT and recipe.warmup * steps < 1:
        return cosine(recipe.lr, recipe.min_lr, step / steps)
    done = (step + 1) / steps
    if done <= recipe.warmup:
        return recipe.lr * done / recipe.warmup
    return cosine(recipe.lr, recipe.min_lr, (done - recipe.warmup) / max(1e-12, 1 - recipe.warmup))


def cosine(peak: float, end: float, along: float) -> float:
    """Half a cosine from ``peak``, where ``along`` is 0, to ``end``, where it is 1."""
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * along))


def diverged(what: str, lr: float) -> Diverged:
    """The error for a loss or weight that became NaN or infinite at a learning rate."""
    return Diverged(f"{what}: use a smaller --lr than {lr:g}.")


class MovingAverage:
    """An exponential moving average of an adapter: ``a = decay a + (1 - decay) w`` after every step."""

    def __init__(self, state: dict[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.state = {k: v.clone() for k, v in state.items()}

    def update(self, state: dict[str, Tensor]) -> None:
        """Take in the weights after a step; integers (counters) are copied."""
        for name, value in state.items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self.decay)
            else:
                self.state[name].copy_(value)


def images_that_fit(model: PromptedModel, batch_size: int, device: torch.device, dtype: torch.dtype) -> int:
    """How many images one backward pass can hold on a CPU, by a rough count of activations.

    A CPU's allocator promises more than there is and the process is killed later, so the count is made beforehand;
    an accelerator says when its memory is out, and the fit loop halves the batch then.
    """
    if device.type != "cpu":
        return batch_size
    backbone = model.backbone
    prompts = model.insertion.num_prompts
    tokens = backbone.num_patches + backbone.num_prefix
    stream = 24 * tokens * backbone.width + 4 * prompts * backbone.width
    fused = backbone.fused_attention and fused_is_faster(device, dtype)
    attention = (0 if fused else 2) * backbone.num_heads * tokens * (tokens + prompts)
    each = 4 * backbone.depth * (stream + attention)
    return max(1, min(batch_size, int(0.7 * free_memory() / each)))
