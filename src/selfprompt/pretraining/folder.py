"""What a pretraining run writes: a folder with weights, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from selfprompt.adapters.kept import not_finite
from selfprompt.files import replace_file
from selfprompt.tuning.optimization import diverged


def halves(state: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Weights in float16.

    Args:
        state: The weights.
        rate: The learning rate that a weight is blamed on.

    Raises:
        UserError: One is NaN or infinite there.
    """
    weights = {name: weight.half().contiguous() for name, weight in state.items()}
    if odd := not_finite(weights):
        raise diverged(f"The weight {odd} became NaN or infinite", rate)
    return weights


def write_folder(out: Path, files: Mapping[str, str | bytes]) -> None:
    """A folder with files, by name.

    Raises:
        UserError: It cannot be written.
    """
    made = out.with_name(f".{out.name}.made")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name, content in files.items():
        replace_file(made / name, content)
    made.rename(out)
