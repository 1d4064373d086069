"""``selfprompt export ADAPTER --out FILE``."""

from __future__ import annotations

from pathlib import Path

from selfprompt.cli.console import report
from selfprompt.serving import export


def command(adapter: str, *, out: Path, backbone: str | None = None, seed: int = 0, json: bool = False) -> None:
    """Write an adapter and its backbone as one program: ONNX (.onnx) or torch.export (.pt2).

    Args:
        adapter: A folder, or a repository of the Hugging Face hub.
        out: The file; its suffix chooses the format.
        backbone: The backbone, if it is no longer where it was.
        seed: Nothing is drawn here; every command takes it.
        json: Print one JSON object.
    """
    done = export.export(adapter, out, backbone=backbone)
    size = done["image_size"]
    report(done, json, f"{out}: uint8 images (B, 3, {size}, {size}) to logits (B, {done['num_classes']})")
