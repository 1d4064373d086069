"""Parameter groups, learning rate, moving average and batch size of the fit loop."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from selfprompt.backbones.precision import fused_is_faster
from selfprompt.memory import free_memory
from selfprompt.methods.recipe import Recipe
from selfprompt.model import PromptedModel

SHORT = 10  # steps


def make_optimizer(model: PromptedModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW or SGD; the head has a rate and a weight decay of its own, one-dimensional parameters no decay.

    Each group's ``peak`` is the rate that its schedule rises to.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            head = name.startswith("head.")
            peak = (head and recipe.head_lr) or recipe.lr
            decay = recipe.head_weight_decay if head else recipe.weight_decay
            groups.setdefault((peak, 0.0 if parameter.ndim <= 1 else decay), []).append(parameter)
    listed = [{"params": p, "peak": peak, "weight_decay": decay} for (peak, decay), p in groups.items()]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(listed, lr=recipe.lr, momentum=recipe.momentum)
    return torch.optim.AdamW(listed, lr=recipe.lr)


def set_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, steps: int) -> None:
    """Give each group its rate of a step; one from before ``peak`` was kept rises to the recipe's."""
    for group in optimizer.param_groups:
        own = recipe.model_copy(update={"lr": group.get("peak", recipe.lr)})
        group["lr"] = learning_rate(own, step, steps)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of optimiser step ``step`` (from 0) of ``steps``: linear warm-up, then half a cosine to its end.

    Fewer than ten steps of which the warm-up has less than one would leave out the peak, and spend their last, or
    only, step at ``min_lr``: they begin at the peak, and the cosine ends one step behind the last.
    """
    if steps < SHORT and recipe.warmup * steps < 1:
        return cosine(recipe, step / steps)
    done = (step + 1) / steps
    if done <= recipe.warmup:
        return recipe.lr * done / recipe.warmup
    return cosine(recipe, (done - recipe.warmup) / max(1e-12, 1 - recipe.warmup))


def cosine(recipe: Recipe, along: float) -> float:
    """Half a cosine from the peak (0) to ``min_lr`` (1)."""
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * along))


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
