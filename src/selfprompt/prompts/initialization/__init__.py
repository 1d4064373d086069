"""Where prompts start: one file an answer."""

from typing import Literal

Kind = Literal["random", "mean", "max", "kmeans", "gaussian"]
"""What prototypes are made of a task's patch tokens; ``gaussian`` are drawn with their mean and covariance."""
