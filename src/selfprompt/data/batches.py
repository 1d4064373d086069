"""Examples as batches.

What is the same in every epoch is decoded once and kept in memory where it fits; the rest is decoded, and
augmented, by threads while the device works on the batch before. Which examples stand in which batch, and how
each is augmented, follows from (seed, epoch, index) alone: any epoch can be made again, in any process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfprompt.data.examples import Examples
from selfprompt.data.images import name_of
from selfprompt.data.protocol import BaseProtocol
from selfprompt.errors import UserError
from selfprompt.inputs import Batch, Inputs, take
from selfprompt.memory import free_memory

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
        """A batch for each array of indices, augmented as in that epoch; not if it is None."""


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
        if keep and not self.augmented and self.view.size(len(examples)) < MEMORY_SHARE * free_memory():
            self._kept = self._decode(np.arange(len(examples)), epoch=0)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(self.examples.known_labels)

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

    def _decode(self, indices: np.ndarray, epoch: int | None) -> Inputs:
        def one(index: int) -> Any:
            drawn = self.augmented and epoch is not None
            rng = np.random.default_rng((self.seed, epoch or 0, index)) if drawn else None
            source = self.examples.images[index]
            try:
                return self.view.read(source, rng)
            except UserError as error:
                raise (
                    error if name_of(source) else UserError(f"{self.protocol.inputs.capitalize()} {index}: {error}")
                ) from None

        return self.view.collate(self._threads.map(one, indices.tolist()), len(indices))

    def batches(self, order: list[np.ndarray], epoch: int | None = 0) -> Iterator[Batch]:
        """See `Batches.batches`; each is made while the one before is used."""
        if self._kept is not None:
            for indices in order:
                yield self._batch(self.get(indices), indices)
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as ahead:
            pending = ahead.submit(self.get, order[0], epoch) if order else None
            for step, indices in enumerate(order):
                assert pending is not None
                inputs = pending.result()
                pending = ahead.submit(self.get, order[step + 1], epoch) if step + 1 < len(order) else None
                yield self._batch(inputs, indices)


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


def in_order(count: int, batch_size: int) -> list[np.ndarray]:
    """Index batches that run through 0..count-1 once."""
    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
