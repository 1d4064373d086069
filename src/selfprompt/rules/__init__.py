"""How and when prompts are moved: one file a rule."""

from typing import Literal

Directions = Literal["early", "late", "random"]
"""Which directions make a subspace: those of a first training's early or late epochs, or random ones."""
Confinement = Literal["projection", "coordinates"]
"""How steps are kept in a subspace."""
