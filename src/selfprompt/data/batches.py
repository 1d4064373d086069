"""Examples as batches.

What is the same in every epoch is decoded once and kept in memory where it fits; the rest is decoded, and
augmented, by threads while the device works on the batch before. Which examples stand in which batch, and how
each is augmented, follows from (seed, epoch, index) alone: any epoch can be made again, in any process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfprompt.data.examples import Examples
from selfprompt.data.images import name_of
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.views.base import Variation, View
from selfprompt.errors import UserError
from selfprompt.inputs import Batch, Inputs, take
from selfprompt.memory import free_memory
from selfprompt.watch import counted

MEMORY_SHARE = 0.4  # of the free memory, for decoded examples


class Batches(ABC):
    """The examples of one split, by index.

    Attributes:
        augmented: Whether they differ from epoch to epoch.
    """

    augmented: bool

    @property
    @abstractmethod
    def labels(self) -> Tensor:
        """(N,) int64.

        Raises:
            UserError: There are none.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Examples N."""

    @abstractmethod
    def batches(self, order: list[np.ndarray], epoch: int | None = 0) -> Iterator[Batch]:
        """A batch for each array of indices, augmented as in that epoch; not if it is None.

        Where they are augmented, an index of N more is the same example by another draw (see `apart`).
        """


class Decoded(Batches):
    """Examples as their protocol's view has them.

    Args:
        examples: The split.
        protocol: How a source becomes a tensor.
        train: Whether the protocol's augmentation applies.
        seed: Seed of the augmentation.
        keep: Decode what fits into memory at once; otherwise whatever is asked for, whenever it is.

    Raises:
        UserError: A source cannot be read: at once where examples are kept in memory.
    """

    def __init__(
        self, examples: Examples, protocol: BaseProtocol, *, train: bool = False, seed: int = 0, keep: bool = True
    ) -> None:
        self.examples, self.protocol, self.view, self.seed = examples, protocol, protocol.view(), seed
        self._labels = None if examples.labels is None else torch.from_numpy(examples.labels)
        self.augmented = train and self.view.augments
        self._threads = ThreadPoolExecutor(max_workers=torch.get_num_threads(), thread_name_prefix="decode")
        self._kept: Inputs | None = None
        if keep and not self.augmented and fits(self.view, len(examples)):
            self._kept = self._decode(np.arange(len(examples)), epoch=0, told=True)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(self.examples.known_labels)

    @property
    def kept(self) -> Inputs | None:
        """All examples, where they are in memory."""
        return self._kept

    def _batch(self, inputs: Inputs, indices: np.ndarray) -> Batch:
        return Batch(inputs, None if self._labels is None else self._labels[torch.from_numpy(indices)])

    def take(self, indices: np.ndarray) -> Decoded:
        """Those at ``indices``, not augmented; decoded only where these are not yet."""
        part = Decoded(self.examples.take(indices), self.protocol, keep=self._kept is None)
        if self._kept is not None:
            part._kept = take(self._kept, torch.from_numpy(indices))
        return part

    def get(self, indices: np.ndarray, epoch: int | None = 0) -> Inputs:
        """The examples at ``indices``, augmented as in that epoch; not if it is None."""
        if self._kept is not None:
            return take(self._kept, torch.from_numpy(indices))
        return self._decode(indices, epoch)

    def _decode(self, indices: np.ndarray, epoch: int | None, told: bool = False) -> Inputs:
        def one(index: int) -> Any:
            drawn = self.augmented and epoch is not None
            rng = np.random.default_rng((self.seed, epoch or 0, index)) if drawn else None
            read = partial(self.view.read, rng=rng)
            return named(read, self.examples, index % len(self), self.protocol.inputs)

        found: Iterable[Any] = self._threads.map(one, indices.tolist())
        if told:
            found = counted(found, "decoding", len(indices))
        return self.view.collate(found, len(indices))

    def batches(self, order: list[np.ndarray], epoch: int | None = 0) -> Iterator[Batch]:
        """See `Batches.batches`; each is made while the one before is used."""
        if self._kept is not None:
            for indices in order:
                yield self._batch(self.get(indices), indices)
            return
        yield from ahead(lambda indices: self.get(indices, epoch), self._labels, order)


class Viewed(Batches):
    """Examples without augmentation, each as several views: the inputs of a batch have one example's after another's.

    Args:
        examples: The split.
        protocol: How a source becomes a tensor.
        variation: How views differ.
    """

    augmented = False

    def __init__(self, examples: Examples, protocol: BaseProtocol, variation: Variation) -> None:
        self.examples, self.view, self.variation = examples, protocol.view(), variation
        self.kind = protocol.inputs
        self._threads = ThreadPoolExecutor(max_workers=torch.get_num_threads(), thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(self.examples.known_labels)

    def get(self, indices: np.ndarray) -> Inputs:
        """The views of the examples at ``indices``."""
        read = partial(self.view.views, variation=self.variation)
        found = self._threads.map(lambda i: named(read, self.examples, i, self.kind), indices.tolist())
        return self.view.collate(chain.from_iterable(found), len(indices) * self.variation.count)

    def batches(self, order: list[np.ndarray], epoch: int | None = 0) -> Iterator[Batch]:
        return ahead(self.get, self.labels, order)


class Features(Batches):
    """Features that training does not change, in the place of inputs.

    Args:
        features: (N, F).
        labels: (N,).
    """

    augmented = False

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.features, self._labels = features, labels

    @property
    def labels(self) -> Tensor:
        return self._labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: list[np.ndarray], epoch: int | None = 0) -> Iterator[Batch]:
        for indices in order:
            yield Batch(self.features[torch.from_numpy(indices)], self.labels[torch.from_numpy(indices)])


def fits(view: View, count: int) -> bool:
    """Whether so many decoded examples are kept in memory."""
    return view.size(count) < MEMORY_SHARE * free_memory()


def named(read: Callable[[Any], Any], examples: Examples, index: int, kind: str) -> Any:
    """What is read of one example; an error says of which."""
    source = examples.images[index]
    try:
        return read(source)
    except UserError as error:
        raise error if name_of(source) else UserError(f"{kind.capitalize()} {index}: {error}") from None


def ahead(get: Callable[[np.ndarray], Inputs], labels: Tensor | None, order: list[np.ndarray]) -> Iterator[Batch]:
    """Batches, each made while the one before is used."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
        pending = thread.submit(get, order[0]) if order else None
        for step, indices in enumerate(order):
            assert pending is not None
            inputs = pending.result()
            pending = thread.submit(get, order[step + 1]) if step + 1 < len(order) else None
            yield Batch(inputs, None if labels is None else labels[torch.from_numpy(indices % len(labels))])


def apart(order: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Index batches in which each further occurrence of one of N = ``count`` examples stands as an index of N more,
    so that it is augmented by a draw of its own."""
    indices = np.concatenate(order)
    _, own, counts = np.unique(indices, return_inverse=True, return_counts=True)
    places = np.argsort(own, kind="stable")
    before = np.empty_like(indices)
    before[places] = np.arange(len(indices)) - np.repeat(counts.cumsum() - counts, counts)
    return np.split(indices + count * before, np.cumsum([len(batch) for batch in order])[:-1])


def in_order(count: int, batch_size: int) -> list[np.ndarray]:
    """Index batches that run through 0..count-1 once."""
    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
