"""``selfprompt predict ADAPTER IMAGE...``."""

from __future__ import annotations

from pathlib import Path

from selfprompt.cli.console import report
from selfprompt.tuning.run import predict


def command(
    adapter: str,
    images: list[Path],
    /,
    *,
    backbone: str | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """The class of each image, and how sure the model is.

    Args:
        adapter: A folder, or a repository of the Hugging Face hub.
        images: Image files, or folders of them.
        backbone: The backbone, if it is no longer where it was.
        seed: Nothing is drawn here; every command takes it.
        json: Print one JSON object.
    """
    predictions = predict(adapter, images, backbone=backbone)
    lines = [f"{p['image']}  {p['label']}  {100 * p['probability']:.1f} %" for p in predictions]
    report({"predictions": predictions}, json, "\n".join(lines))
