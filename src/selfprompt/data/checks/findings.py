"""What a look at data finds, each example by its split, its name and its label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from selfprompt.files import encoded

COLUMNS = ("finding", "score", "split", "name", "label", "other_split", "other_name", "other_label")

SEVERAL = "labels: an example may have several, and these are not judged"
"""What is left out of a look at such data."""


class Found(BaseModel):
    """A part of the findings."""

    model_config = ConfigDict(frozen=True)


class Item(Found):
    """An example: its split, its file or place, and its class; None where it has none."""

    split: str
    name: Annotated[str, AfterValidator(lambda name: encoded(name).decode())]  # of a file that may not be UTF-8
    label: str | None = None


class Double(Found):
    """An example that is there twice: the first of the two, the later one, and how alike they are, at most 1."""

    one: Item
    other: Item
    similarity: float

    @property
    def differ(self) -> bool:
        """Whether their labels do."""
        return None not in (self.one.label, self.other.label) and self.one.label != self.other.label


class Suspect(Found):
    """An example whose label looks wrong: the class that it looks like, and both probabilities out of fold."""

    item: Item
    likelier: str
    given: float
    other: float


class Findings(Found):
    """Everything that a look finds, the worst first.

    Args:
        exact: The same picture to the pixel, or the same text to the letter.
        near: Almost the same picture (see `selfprompt.data.checks.doubles.near`).
        suspects: See `selfprompt.data.checks.labels.suspects`.
        judged: Examples whose labels were looked at.
        right: The share of them that is answered rightly out of fold: how far ``suspects`` can be believed.
        features: Whose features they were judged by.
        left_out: What was not looked at, and why.
    """

    exact: list[Double] = []
    near: list[Double] = []
    suspects: list[Suspect] = []
    judged: int = Field(default=0, ge=0)
    right: float | None = None
    features: str | None = None
    left_out: list[str] = []

    @property
    def summary(self) -> str:
        """What was judged, in a line."""
        if self.right is None:
            return "no label was judged"
        return (
            f"{len(self.suspects):,} of {self.judged:,} labels look wrong, by logistic regression out of fold on the "
            f"features of {self.features}, which is right for {100 * self.right:.1f} %"
        )

    def rows(self) -> Iterator[tuple[str, ...]]:
        """A row of `COLUMNS` for each finding."""
        for what, found in (("exact duplicate", self.exact), ("near duplicate", self.near)):
            for pair in found:
                one, other = pair.one, pair.other
                yield (
                    what,
                    f"{pair.similarity:.4f}",
                    *(one.split, one.name, one.label or ""),
                    *(other.split, other.name, other.label or ""),
                )
        for suspect in self.suspects:
            item = suspect.item
            yield (
                "suspicious label",
                f"{suspect.given:.4f}",
                *(item.split, item.name, item.label or ""),
                *("", "", suspect.likelier),
            )
