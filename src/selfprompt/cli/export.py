"""``selfprompt export ADAPTER --out FILE``."""

from __future__ import annotations

from pathlib import Path

from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed


def command(adapter: str, *, out: Path, backbone: str | None = None, seed: Seed = 0, json: bool = False) -> None:
    """Write an adapter and its backbone as one program: ONNX (.onnx) or PyTorch (.pt2).

    Args:
        adapter: A folder, or hf:USER/NAME, with @REVISION where wanted, of the Hugging Face hub.
        out: The file; its suffix chooses the format.
        backbone: The backbone, if it has moved.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.serving.export import export

    done = export(adapter, out, backbone=backbone)
    size = done["image_size"]
    emit(done, json, f"{out}: uint8 images (B, 3, {size}, {size}) to logits (B, {done['num_classes']})")
