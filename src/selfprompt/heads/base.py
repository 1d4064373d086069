"""What turns features into scores: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.errors import UserError
from selfprompt.marks import optional


class Head(nn.Module, ABC):
    """Features of inputs to scores of classes.

    Attributes:
        num_classes: Classes C.

    Shape: (B, F) to (B, C).
    """

    num_classes: int

    @abstractmethod
    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Features to scores."""

    @optional
    @contextmanager
    def folded(self) -> Iterator[None]:
        """Inside, what depends on no input is computed once: no weight may change there."""
        yield

    @property
    @optional
    def knows_names(self) -> bool:
        """Whether it answers for any classes, by their names."""
        return False

    @optional
    def for_classes(self, names: Sequence[str]) -> Head:
        """The same for other classes, by their names.

        Raises:
            UserError: It knows the classes that it was trained on, and no others.
        """
        raise UserError("This head knows the classes it was trained on, and no others: train it on the new ones.")
