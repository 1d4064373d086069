"""``selfprompt predict ADAPTER IMAGE...``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError


def command(
    adapter: str,
    images: list[str],
    /,
    *,
    backbone: str | None = None,
    on_error: Literal["skip", "stop"] = "skip",
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """The class of each image, and how sure the model is; exit status 3 if some could not be read.

    Args:
        adapter: A folder, or a repository of the Hugging Face hub.
        images: Image files, or folders of them.
        backbone: The backbone, if it has moved.
        on_error: skip names an image that cannot be read and predicts the others; stop ends there.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.data.images import identified
    from selfprompt.data.tree import is_image
    from selfprompt.runs.predict import predict

    for path in (Path(image) for image in images):
        if path.is_file() and not is_image(path.name) and not identified(path):
            raise UserError(f"{path} is no image, and is not called like one: leave it out.")
    predictions = predict(adapter, images, backbone=backbone, on_error=on_error)
    errors = [p["error"] for p in predictions if "error" in p]
    lines = [
        f"{p.get('image', p.get('text'))}  {p['label']}  {100 * p['probability']:.1f} %"
        for p in predictions
        if p["probability"] is not None
    ]
    emit({"predictions": predictions}, json, "\n".join(lines))
    for error in errors if os.environ.get("RANK", "0") == "0" else ():
        print(f"error: {error}", file=sys.stderr)
    if errors:
        sys.exit(3)
