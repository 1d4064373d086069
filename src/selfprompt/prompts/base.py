"""The interfaces of this room: where prompts start, what they are made of, how they meet the tokens, which stay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.backbones.base import Backbone, Tokens
from selfprompt.errors import UserError
from selfprompt.memory import free_memory

COPIES_IN_TRAINING = 16


@dataclass(frozen=True)
class Prompts:
    """Starting values, and where they came from.

    Args:
        values: (layers, P, D).
        sources: (layers, P, 2) int64, the image's index in the stream and the patch's position in raster
            order; None where a prompt is no single token's copy.
    """

    values: Tensor
    sources: Tensor | None = None


class Initialization(ABC):
    """Where prompts start.

    Attributes:
        needs_data: Whether `prepare` reads images.
    """

    needs_data: bool

    @abstractmethod
    def prepare(
        self, backbone: Backbone, batches: Iterable[Tensor], layers: int, num_prompts: int, seed: int
    ) -> Prompts:
        """Make starting values in one pass over ``batches``.

        Args:
            backbone: The frozen backbone.
            batches: (B, 3, H, W) normalised images on the backbone's device; left unread without `needs_data`.
            layers: Blocks that get prompts of their own, counted from block 0.
            num_prompts: Prompts P of each layer.
            seed: Seed of every draw.
        """


class Parametrization(nn.Module, ABC):
    """What prompts are made of: a map from what is trained to what meets the tokens."""

    @abstractmethod
    def forward(self, prompts: Tensor) -> Tensor:
        """(..., P, D) trained prompts of one layer to (..., P, D) effective ones."""

    def idle(self, prompts: Tensor) -> int:
        """How many numbers, of (layers, P, D) prompts and its own, are masked or fixed, and so not trained."""
        return 0


class Insertion(nn.Module, ABC):
    """How prompts, or whatever else is trained, meet the tokens.

    Attributes:
        prompts: The trained prompts; None where there are none.
        dropout: Of prompts, in training.
    """

    prompts: nn.Parameter | None
    dropout: float = 0.0

    @property
    def num_prompts(self) -> int:
        """Prompts of the block that has most of them."""
        return 0

    @property
    def idle(self) -> int:
        """How many numbers of its parameters are masked or fixed, and so not trained."""
        return 0

    def attach(self, backbone: Backbone, seed: int) -> None:
        """Once, when the model is built: start what is trained beside prompts, within its own backbone or here.

        Args:
            backbone: The model's private copy, frozen.
            seed: Seed of every draw.
        """

    @contextmanager
    def folded(self, backbone: Backbone) -> Iterator[None]:
        """Inside, what depends on no image is computed once: neither prompts nor backbone may change there."""
        yield

    def enter(self, backbone: Backbone, tokens: Tokens) -> Tokens:
        """Before block 0."""
        return tokens

    @abstractmethod
    def block(self, backbone: Backbone, i: int, tokens: Tokens) -> Tokens:
        """In place of block ``i``."""

    def leave(self, backbone: Backbone, tokens: Tokens) -> Tokens:
        """After the last block: the stream that the readout sees."""
        return tokens


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
    counts: Tensor | None

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
        self.register_buffer("counts", None)

    @property
    def num_prompts(self) -> int:
        """Prompts of the block that has most of them."""
        return self.prompts.shape[1] if self.counts is None else int(self.counts.max())

    def layer(self, i: int, batch: int) -> Tensor:
        """The prompts of layer ``i`` as they meet the tokens of a batch: (P, D), or (B, P, D) under dropout."""
        prompts = self.prompts[i] if self.counts is None else self.prompts.split(self.counts.tolist())[i]
        if self.dropout and self.training:
            prompts = F.dropout(prompts.expand(batch, -1, -1), self.dropout)
        return prompts if self.parametrization is None else self.parametrization(prompts)

    @property
    def idle(self) -> int:
        return 0 if self.parametrization is None else self.parametrization.idle(self.prompts)

    def prompt_keys(self, num_prefix: int) -> slice:
        """Which keys of a block's last attention are the prompts, after ``num_prefix`` prefix tokens."""
        return slice(num_prefix, num_prefix + self.num_prompts)

    def share_gradient(self, weights: Tensor, gradient: Tensor) -> Tensor:
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
    def condense(self, kept: Tensor) -> None:
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
        whole = counts.dtype == torch.int64 and counts.shape == (layers,) and bool((counts >= 0).all())
        if prompts is None or not whole or prompts.shape != (int(counts.sum()), self.prompts.shape[-1]):
            raise UserError("Its counts are not of its prompts.")
        if self.counts is None:
            rows = torch.zeros(prompts.shape, device=self.prompts.device)
            self.prompts = nn.Parameter(rows, requires_grad=self.prompts.requires_grad)
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

    _folded: list[tuple[Tensor, Tensor]] | None = None

    def prompt_keys(self, num_prefix: int) -> slice:
        """The first ones: they stand before those of the tokens."""
        return slice(0, self.num_prompts)

    @abstractmethod
    def project(self, backbone: Backbone, i: int, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values that (P, D) or (B, P, D) prompts of layer ``i`` make, see `Backbone.keys_values`."""

    def keys_values(self, backbone: Backbone, i: int, batch: int) -> tuple[Tensor, Tensor]:
        """Keys and values of layer ``i``, made of the prompts as they are now unless they are `folded`.

        That costs a few percent of one image's forward pass, no more than it would to see whether anything changed.
        """
        return self._folded[i] if self._folded else self.project(backbone, i, self.layer(i, batch))

    @contextmanager
    def folded(self, backbone: Backbone) -> Iterator[None]:
        with torch.no_grad():
            self._folded = [self.project(backbone, i, self.layer(i, 1)) for i in range(backbone.depth)]
        try:
            yield
        finally:
            self._folded = None


class Condensation(ABC):
    """Which prompts are kept, decided after a first training; a last one follows.

    Attributes:
        rewinds: Whether the last training begins from a fresh start.
    """

    rewinds: bool

    @abstractmethod
    def share(self, epochs: int) -> tuple[int, int]:
        """Epochs of the first and of the last training, under a recipe of so many."""

    @abstractmethod
    def apply(
        self,
        insertion: PromptInsertion,
        backbone: Backbone,
        network: Callable[[Tensor], Tensor],
        batches: Iterable[tuple[Tensor, Tensor]],
    ) -> Tensor | None:
        """Decide on the training images, and change the insertion.

        Args:
            insertion: Owns the prompts.
            backbone: What they prompt.
            network: Images to logits, through the insertion, in evaluation mode.
            batches: Images and labels.

        Returns:
            (layers, P) booleans of what stays, where prompts were taken away.
        """


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Inside, torch draws on the CPU from a seed; afterwards its generators are as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


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


def insert(tokens: Tokens, prompts: Tensor) -> Tokens:
    """Put (P, D) or (B, P, D) prompts between the prefix tokens and the patches."""
    prompts = prompts.expand(tokens.x.shape[0], *prompts.shape[-2:])
    x = torch.cat([tokens.x[:, : tokens.num_prefix], prompts, tokens.x[:, tokens.num_prefix :]], dim=1)
    return Tokens(x, tokens.num_prefix)


def remove(tokens: Tokens, count: int) -> Tokens:
    """Take ``count`` tokens after the prefix out of the stream again."""
    x = torch.cat([tokens.x[:, : tokens.num_prefix], tokens.x[:, tokens.num_prefix + count :]], dim=1)
    return Tokens(x, tokens.num_prefix)
