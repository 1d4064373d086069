"""What a model of transformers is, found out by running it: blocks, their arguments, what its attention tells."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from selfprompt.backbones.asked import NAME, attention_modules
from selfprompt.errors import UserError
from selfprompt.inputs import Text

MOST_WORDS = 512
"""Of a text where neither model nor tokenizer says how many they take."""


@dataclass(frozen=True)
class Call:
    """A call of a block.

    Args:
        block: Its name in the model; one that is shared is called several times.
        args, kwargs: What it is told besides the stream, a `Form` where that is a tensor.
    """

    block: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def again(self, trunk: Any, x: Tensor) -> None:
        """Call the block for other tokens, (B, N, D)."""
        args, kwargs = (given(a, x) for a in self.args), {k: given(v, x) for k, v in self.kwargs.items()}
        trunk.get_submodule(self.block)(x, *args, **kwargs)


@dataclass(frozen=True)
class Found:
    """What a model is.

    Args:
        causal: Whether no token sees a later one.
        deep: Whether its attention can be edited; then it goes through our function from now on.
        calls: Of the blocks, in order.
        texts, states: What was run, and (B, N, D) what came of it.
    """

    causal: bool
    deep: bool
    calls: list[Call]
    texts: Text
    states: Tensor


@torch.no_grad()
def probe(model: Any, trunk: Any, words: int, pad: int) -> Found:
    """Run a model over two texts of noise, and look.

    Args:
        model, trunk: Whole, and without its head.
        words, pad: Size of its vocabulary, and the id of padding.
    """
    texts = noise(words, pad)
    other = texts.ids.clone()
    other[0, -1] = texts.ids[0, 0]
    states = trunk(input_ids=texts.ids, attention_mask=texts.mask.long())[0]
    changed = trunk(input_ids=other, attention_mask=texts.mask.long())[0]
    with interface(model) as keep:
        met: list[nn.Module] = []
        with contextlib.suppress(Exception), attention_modules(met):  # whatever a family says of an unknown attention
            trunk(input_ids=texts.ids, attention_mask=texts.mask.long())
        blocks = [name for module in met if (name := block_of(trunk, module))]
        deep = 0 < len(blocks) == len(met)
        if deep:
            keep()
    calls = arguments(trunk, texts, dict.fromkeys(blocks if deep else listed(trunk, model.config)))
    return Found(torch.equal(changed[0, 0], states[0, 0]), deep, calls, texts, states)


def arguments(trunk: Any, texts: Text, names: Iterable[str]) -> list[Call]:
    """The calls of the blocks of those names."""
    found: list[Call] = []
    hooks = []
    for name in names:

        def note(module: Any, args: Any, kwargs: Any, name: str = name) -> None:
            rest = {key: form(value) for key, value in kwargs.items() if args or key != "hidden_states"}
            found.append(Call(name, tuple(form(value) for value in args[1:]), rest))

        hooks.append(trunk.get_submodule(name).register_forward_pre_hook(note, with_kwargs=True))
    trunk(input_ids=texts.ids, attention_mask=texts.mask.long())
    for hook in hooks:
        hook.remove()
    return found


@dataclass(frozen=True)
class Form:
    """What stands for a tensor among a block's arguments when it is called for other tokens.

    Args:
        kind: A rotation, which then turns nothing; positions, which are then 0; or what is left out.
        dims, width: Of the rotation.
    """

    kind: Literal["rotation", "positions"]
    dims: int = 2
    width: int = 0

    def of(self, x: Tensor) -> Any:
        """The argument for (B, N, D) tokens."""
        if self.kind == "positions":
            return torch.zeros(1, x.shape[1], dtype=torch.long, device=x.device)
        cos = x.new_ones((1,) * (self.dims - 2) + (x.shape[1], self.width))
        return cos, torch.zeros_like(cos)


def form(value: Any) -> Any:
    """An argument without its tensors."""
    if isinstance(value, tuple) and len(value) == 2 and all(torch.is_tensor(part) for part in value):
        return Form("rotation", value[0].dim(), value[0].shape[-1])
    if torch.is_tensor(value):
        return None if value.is_floating_point() or value.dtype == torch.bool else Form("positions")
    return value if isinstance(value, (bool, int, float, str)) else None


def given(value: Any, x: Tensor) -> Any:
    """What stands for an argument, for (B, N, D) tokens."""
    return value.of(x) if isinstance(value, Form) else value


@contextmanager
def interface(model: Any) -> Iterator[Any]:
    """Inside, a model's attention goes through our function; it stays so if what is yielded is called."""
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values()
    before, kept = [(config, config._attn_implementation) for config in configs], []
    for config in configs:
        config._attn_implementation = NAME
    yield lambda: kept.append(True)
    for config, known in before if not kept else ():
        config._attn_implementation = known


def block_of(trunk: Any, attention: nn.Module) -> str | None:
    """The name of the block that an attention is in; None if it is in none."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    name = next((name for name, module in trunk.named_modules() if module is attention), "")
    above = [name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1)]
    for one in above:
        if isinstance(trunk.get_submodule(one), GradientCheckpointingLayer):
            return one
    return next((one for one in above if one.rpartition(".")[2].isdigit()), None)


def listed(trunk: Any, config: Any) -> list[str]:
    """The names of the blocks of a model whose attention says nothing."""
    for name, module in trunk.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
            return [f"{name}.{i}" for i in range(len(module))]
    raise UserError(f"The blocks of a {type(trunk).__name__} are not known here: use another model.")


def noise(words: int, pad: int) -> Text:
    """Two texts of six and four random words."""
    ids = torch.randint(words, (2, 6), generator=torch.Generator().manual_seed(0))
    ids[ids == pad] = (pad + 1) % words
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:], ids[1, 4:] = False, pad
    return Text(ids, mask, mask.sum(dim=1) - 1)


def longest(trunk: Any, config: Any, tokenizer: Any) -> int:
    """How many tokens a text may have."""
    known = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    for name, module in trunk.named_modules():  # RoBERTa's positions begin after that of padding
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            known -= module.padding_idx + 1
    known = known if known and known > 0 else MOST_WORDS
    return min(known, tokenizer.model_max_length)
