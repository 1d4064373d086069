"""``selfprompt export ADAPTER --out FILE``."""

from __future__ import annotations

from pathlib import Path

from selfprompt.cli.console import emit
from selfprompt.cli.values import Seed
from selfprompt.errors import UserError


def command(
    adapter: str,
    *,
    out: Path,
    html: bool = False,
    onnxruntime_web: Path | None = None,
    backbone: str | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Write an adapter and its backbone as one program: ONNX (.onnx), PyTorch (.pt2), or a page (--html).

    Args:
        adapter: A folder, or hf:USER/NAME, with @REVISION where wanted, of the Hugging Face hub.
        out: The file; its suffix chooses the format. With --html, a folder.
        html: Write a folder whose index.html classifies pictures that are dropped on it, in the browser, with no
            server.
        onnxruntime_web: With --html, the folder of npm's onnxruntime-web, which runs the program there; selfprompt
            downloads nothing.
        backbone: The backbone, if it has moved.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    if html != (onnxruntime_web is not None):
        raise UserError("--html and --onnxruntime-web DIR go together: give both (npm install onnxruntime-web).")
    if onnxruntime_web is not None:
        from selfprompt.serving.browser import export_page

        page = export_page(adapter, out, onnxruntime_web, backbone=backbone)
        emit(page, json, f"{out / 'index.html'}: open it in a browser ({page['bytes'] / 1e6:.0f} MB)")
        return
    from selfprompt.serving.export import export

    done = export(adapter, out, backbone=backbone)
    size = done["image_size"]
    emit(done, json, f"{out}: uint8 images (B, 3, {size}, {size}) to logits (B, {done['num_classes']})")
