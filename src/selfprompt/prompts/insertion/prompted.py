"""Insertions that own prompts, and those whose prompts are keys and values alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from typing_extensions import TypedDict

from selfprompt.backbones.base import Backbone, Context, KeysValues
from selfprompt.errors import UserError
from selfprompt.inputs import count
from selfprompt.marks import optional
from selfprompt.memory import free_memory
from selfprompt.prompts.initialization.base import Prompts
from selfprompt.prompts.insertion.base import Insertion, drawing
from selfprompt.prompts.parametrization.base import Parametrization

COPIES_IN_TRAINING = 16


class OfPrompts(TypedDict, total=False):
    """What every insertion with prompts takes besides their number and shape (see `PromptInsertion`)."""

    dropout: float
    parametrization: Parametrization | None


class PromptInsertion(Insertion, ABC):
    """An insertion that owns prompts.

    Args:
        layers: Blocks that get prompts of their own, counted from block 0.
        num_prompts: Prompts P of each of them.
        width: Token width D.
        dropout: Of each sample's copy of the prompts, in training; what is made of them is then made per sample.
        parametrization: What the prompts are made of; None where they are free.

    Attributes:
        prompts: One parameter (layers, P, D); once condensed, (K, D): the K kept prompts of all layers in a row.
        counts: (layers,) how many are kept at each layer; None before.
    """

    prompts: nn.Parameter
    counts: Int64[Tensor, " layers"] | None

    def __init__(
        self,
        layers: int,
        num_prompts: int,
        width: int,
        *,
        dropout: float = 0.0,
        parametrization: Parametrization | None = None,
    ) -> None:
        super().__init__()
        self.prompts = new_prompts(layers, num_prompts, width)
        self.dropout, self.parametrization = dropout, parametrization
        if parametrization is not None and parametrization.reads == "text":
            self.by_token, self.reads_text = False, True
        self.register_buffer("counts", None)

    @property
    def num_prompts(self) -> int:
        """Prompts of the block that has most of them."""
        return self.prompts.shape[1] if self.counts is None else int(self.counts.max())

    def draw(self, seed: int) -> None:
        """Start what the prompts are made of beside themselves."""
        if self.parametrization is not None:
            with drawing(seed):
                self.parametrization.draw()

    def read(self, i: int, context: Context) -> Tensor | None:
        """What the prompts of layer ``i`` read of the texts that they meet; those of the first layer alone do."""
        return self.parametrization.read(context) if self.parametrization is not None and not i else None

    def layer(self, i: int, batch: int, read: Tensor | None = None) -> Float[Tensor, "*batch prompts width"]:
        """The prompts of layer ``i`` as they meet the tokens of a batch.

        Args:
            i: The layer.
            batch: Samples B.
            read: What each input's own prompts are made by (see `Parametrization.of_inputs`).

        Returns:
            (P, D), or (B, P, D) under dropout, and where inputs have their own.
        """
        prompts = self.prompts[i] if self.counts is None else self.prompts.split(self.counts.tolist())[i]
        if self.dropout and self.training:
            prompts = F.dropout(prompts.expand(batch, -1, -1), self.dropout)
        if self.parametrization is None:
            return prompts
        prompts = self.parametrization(prompts)
        return prompts if read is None else self.parametrization.of_inputs(prompts, read)

    @property
    def idle(self) -> int:
        return 0 if self.parametrization is None else self.parametrization.idle(self.prompts)

    @optional
    def keys_before(self, num_prefix: int) -> int:
        """Keys of a block's last attention before the prompts', where the prefix has ``num_prefix``."""
        return num_prefix

    def prompt_keys(self, num_prefix: int) -> slice:
        """Which keys of a block's last attention are the prompts, where the prefix has ``num_prefix``."""
        first = self.keys_before(num_prefix)
        return slice(first, first + self.num_prompts)

    @optional
    def share_gradient(
        self,
        weights: Float[Tensor, "batch heads queries keys"],
        gradient: Float[Tensor, "batch heads queries keys"],
    ) -> Float[Tensor, " keys"]:
        """Of a block's last attention: how the loss changes with a factor of 1 on each key's share of it.

        The factor stands before the softmax's sum; at 0 the key is gone.

        Args:
            weights, gradient: (B, heads, queries, keys), and the loss's gradient with respect to them.

        Returns:
            (keys,).
        """
        others = (weights * gradient).sum(dim=-1, keepdim=True)
        return (weights * (gradient - others)).sum(dim=(0, 1, 2))

    @torch.no_grad()
    def condense(self, kept: Bool[Tensor, "layers prompts"]) -> None:
        """Take all but the kept prompts away; what is kept is free from here on, whatever it was made of.

        Args:
            kept: (layers, P) booleans.
        """
        training, self.training = self.training, False
        rows = torch.cat([self.layer(i, 1)[keep] for i, keep in enumerate(kept)])
        self.training = training
        self.prompts = nn.Parameter(rows, requires_grad=self.prompts.requires_grad)
        self.counts, self.parametrization = kept.sum(dim=1), None

    def expect(self, state: dict[str, Tensor]) -> None:
        """Take the shape of a saved state, which may be of condensed prompts.

        Raises:
            UserError: It says otherwise how many prompts each layer keeps than it holds.
        """
        if "counts" not in state:
            return
        counts, prompts, layers = state["counts"], state.get("prompts"), len(self.prompts)
        layers = layers if self.counts is None else len(self.counts)
        valid = counts.dtype == torch.int64 and counts.shape == (layers,) and bool((counts >= 0).all())
        if prompts is None or not valid or prompts.shape != (int(counts.sum()), self.prompts.shape[-1]):
            raise UserError("Its counts are not of its prompts.")
        if self.counts is None:
            rows = torch.zeros(prompts.shape, device=self.prompts.device)
            # the base allows None, of insertions without prompts
            self.prompts = nn.Parameter(rows, requires_grad=self.prompts.requires_grad)  # type: ignore[assignment]
            self.counts = torch.zeros_like(counts, device=self.prompts.device)
            self.parametrization = None

    def start_from(self, start: Prompts) -> None:
        """Set the prompts to starting values.

        Raises:
            UserError: The values have another shape; nothing is broadcast.
        """
        if self.prompts.shape != start.values.shape:
            raise UserError(
                f"Starting values of shape {tuple(start.values.shape)} do not fit prompts of shape "
                f"{tuple(self.prompts.shape)}: prepare them for the same insertion, number of prompts and backbone."
            )
        with torch.no_grad():
            self.prompts.copy_(start.values)


class KeyedInsertion(PromptInsertion, ABC):
    """An insertion whose prompts are keys and values and nothing else, so that they depend on no image."""

    _folded: list[KeysValues] | None = None

    @property
    @optional
    def free_keys(self) -> int:
        """Keys of a block that no prompt makes; they stand first."""
        return 0

    def keys_before(self, num_prefix: int) -> int:
        return self.free_keys

    @abstractmethod
    def project(self, backbone: Backbone, i: int, prompts: Float[Tensor, "*batch prompts width"]) -> KeysValues:
        """Keys and values that (P, D) or (B, P, D) prompts of layer ``i`` make, see `Backbone.keys_values`."""

    def keys_values(self, backbone: Backbone, i: int, context: Context) -> KeysValues:
        """Keys and values of layer ``i``, made of the prompts as they are now unless they are `folded`.

        That costs a few percent of one image's forward pass, no more than it would to see whether anything changed.
        """
        read = self.read(i, context)
        if self._folded and read is None:
            return self._folded[i]
        return self.project(backbone, i, self.layer(i, count(context.inputs), read))

    @contextmanager
    def folded(self, backbone: Backbone) -> Iterator[None]:
        with torch.no_grad():
            self._folded = [self.project(backbone, i, self.layer(i, 1)) for i in range(backbone.depth)]
        try:
            yield
        finally:
            self._folded = None


def new_prompts(layers: int, count: int, width: int) -> nn.Parameter:
    """A parameter (layers, count, width) of zeros, if its training fits into memory.

    Training holds the values, their gradient, two moments, keys and values and these once more for one image.

    Raises:
        UserError: There are more prompts than memory.
    """
    needed = 4 * layers * count * width * COPIES_IN_TRAINING
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else free_memory()
    if needed > free:
        raise UserError(
            f"{count:,} prompts at {layers} block(s) need about {needed / 2**30:,.0f} GiB to train and "
            f"{free / 2**30:,.0f} GiB are free: use fewer (--num-prompts {count * free // (2 * needed)})."
        )
    return nn.Parameter(torch.zeros(layers, count, width))
