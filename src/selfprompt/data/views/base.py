"""How a source becomes a tensor: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from selfprompt.inputs import Inputs


class View(ABC):
    """What a model sees of a source; a protocol says which."""

    @property
    @abstractmethod
    def augments(self) -> bool:
        """Whether training examples differ from epoch to epoch."""

    @abstractmethod
    def accept(self, source: Any) -> Any:
        """A source that somebody gave, as `read` takes it.

        Raises:
            UserError: It is something else.
        """

    @abstractmethod
    def read(self, source: Any, rng: np.random.Generator | None = None) -> Any:
        """One source, read.

        Args:
            source: An image, a text.
            rng: What augmentation is drawn from; None leaves it out.

        Raises:
            UserError: It cannot be read.
        """

    @abstractmethod
    def collate(self, read: Iterable[Any], count: int) -> Inputs:
        """What `read` gave of so many sources, one after the other, as a batch."""

    @abstractmethod
    def prepare(self, inputs: Inputs) -> Inputs:
        """A batch, on the model's device, as the backbone takes it."""

    @abstractmethod
    def size(self, count: int) -> int:
        """Bytes of a batch of ``count``."""
