"""An adapter with its backbone as one program that needs no selfprompt."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import TypedDict

from selfprompt.assembly import load
from selfprompt.backbones.base import private_copy
from selfprompt.backbones.load import BackboneSource
from selfprompt.data.protocol import image_protocol
from selfprompt.errors import UserError
from selfprompt.files import unwritable
from selfprompt.heads.class_text import ClassText
from selfprompt.model import PromptedModel
from selfprompt.registry import installed
from selfprompt.scores.several import bounds_of


class Exported(TypedDict):
    """The file that was written."""

    out: str
    format: str
    image_size: int
    num_classes: int


def export(
    adapter: str | Path | PromptedModel, out: str | Path, *, backbone: BackboneSource | None = None
) -> Exported:
    """Write a program of torch.export (``.pt2``) or ONNX (``.onnx``), prompts folded into constants.

    It takes uint8 images (B, 3, S, S), resized as the protocol says, for any B, and gives logits (B, C), divided by
    the adapter's temperature: their softmax, or their sigmoids where an image may have several labels, are the
    probabilities that `predict` gives. An ONNX file's metadata have in JSON the names of the classes under
    ``class_names`` and the protocol under ``protocol``; of several labels each one's threshold under ``thresholds``.

    Args:
        adapter: A folder, a hub repository, or a model.
        out: The file; its suffix chooses the format.
        backbone: The backbone, if it is no longer where it was.

    Returns:
        ``out``, ``format``, ``image_size`` and ``num_classes``.

    Raises:
        UserError: The suffix is another, the extra for ONNX is not installed, the prompts were never started, a
            weight is NaN, or the file cannot be written.
    """
    out = Path(out)
    if out.suffix not in (".onnx", ".pt2"):
        raise UserError(f"{out} must end in .onnx or .pt2: its suffix chooses the format.")
    if out.is_dir():
        raise UserError(f"{out} is a folder: give --out a file.")
    if out.suffix == ".onnx" and not installed("onnxscript"):
        raise UserError("Export to ONNX needs an extra: pip install 'selfprompt[export]'.")
    model = adapter if isinstance(adapter, PromptedModel) else load(adapter, backbone)
    model.worth_keeping()
    if isinstance(model.head, ClassText) and model.head.reads_inputs:
        raise UserError(
            f"The texts of {model.method.name} differ with the image, and a program has them folded in: export an "
            f"adapter whose prompts all images share, such as coop's."
        )
    model = private_copy(model).eval()
    size = image_protocol(model.protocol).image_size
    device = next(model.parameters()).device
    example = (torch.zeros(2, 3, size, size, dtype=torch.uint8, device=device),)
    dynamic = ({0: torch.export.Dim("batch")},)
    with (
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        model.cast_frozen(torch.float32),
        model.folded(),
    ):
        program: Any = Tempered(model).eval() if model.temperature != 1 else model
        if out.suffix == ".pt2":
            buffer = io.BytesIO()  # in memory, as torch's own writer ends the process where a disk is full
            torch.export.save(torch.export.export(program, example, dynamic_shapes=dynamic), buffer)
            save = partial(Path.write_bytes, data=buffer.getbuffer())
        else:
            program = torch.onnx.export(
                program,
                example,
                dynamic_shapes=dynamic,
                input_names=["images"],
                output_names=["logits"],
                dynamo=True,
                verbose=False,  # its progress, on standard output
            )
            program.model.metadata_props["class_names"] = json.dumps(model.class_names)
            program.model.metadata_props["protocol"] = model.protocol.model_dump_json()
            if model.multi_label:
                thresholds = bounds_of(model.thresholds, model.num_classes).tolist()
                program.model.metadata_props["thresholds"] = json.dumps(thresholds)
            save = program.save
    write(out, save)
    return {"out": str(out), "format": out.suffix[1:], "image_size": size, "num_classes": model.num_classes}


class Tempered(nn.Module):
    """A model whose logits are divided by its temperature."""

    def __init__(self, model: PromptedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, C) logits."""
        return self.model(images) / self.model.temperature


def write(out: Path, save: Callable[[Path], object]) -> None:
    """Have a file saved whole or not at all, with the data that large ONNX programs have beside them.

    Raises:
        UserError: It cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
            save(Path(folder) / out.name)
            for made in Path(folder).iterdir():
                os.replace(made, out.parent / made.name)
    except OSError as error:
        raise unwritable(out, error) from None
