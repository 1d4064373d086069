"""How a source becomes a tensor: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from selfprompt.errors import UserError
from selfprompt.inputs import Inputs
from selfprompt.marks import optional


@dataclass(frozen=True)
class Variation:
    """How views of one source differ.

    Args:
        count: Views.
        scale: The least share of the source that a view shows.
        flip: Whether a view may be the mirror image.
        seed: Of every draw.
    """

    count: int
    scale: float
    flip: bool
    seed: int


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

    @optional
    def views(self, source: Any, variation: Variation) -> list[Any]:
        """One source, read several times: as it is, then with what its label does not depend on drawn at random.

        What is drawn follows from the seed and the source's own content, whatever stands beside it.

        Args:
            source: An image, a text.
            variation: How many views, and how they differ.

        Raises:
            UserError: It cannot be read, or sources of its kind have one view alone.
        """
        raise UserError("What this adapter takes has one view alone: leave the adaptation out.")

    @abstractmethod
    def collate(self, read: Iterable[Any], count: int) -> Inputs:
        """What `read` gave of so many sources, one after the other, as a batch."""

    @abstractmethod
    def prepare(self, inputs: Inputs) -> Inputs:
        """A batch, on the model's device, as the backbone takes it."""

    @abstractmethod
    def size(self, count: int) -> int:
        """Bytes of a batch of ``count``."""
