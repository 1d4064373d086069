"""``selfprompt predict ADAPTER INPUT...``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from selfprompt.cli.console import emit
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.values import Adapt, Seed
from selfprompt.data.tables import with_columns
from selfprompt.errors import UserError


def command(
    adapter: str,
    inputs: list[str],
    /,
    *,
    column_flags: ColumnFlags = None,
    backbone: str | None = None,
    class_names: Path | None = None,
    adapt: Adapt = None,
    on_error: Literal["skip", "stop"] = "skip",
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """The class of each image or text, and how sure the model is; exit status 3 if some could not be read.

    Args:
        adapter: A folder, or a repository of the Hugging Face hub.
        inputs: Image files, or folders of them. For an adapter of texts, files with one text a line, tables, folders
            of text files, or - for standard input.
        backbone: The backbone, if it has moved.
        class_names: A file with one name a line: other classes, or the same in other words, where the adapter's are
            texts (image-text models).
        adapt: What is done for each image by itself: NAME, or NAME:FIELD=VALUE:FIELD=VALUE, such as tpt:views=32
            (selfprompt list adaptations).
        on_error: skip names an image or text that cannot be read and predicts the others; stop ends there.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.adaptations import make_adaptation
    from selfprompt.adapters.format import inputs_of
    from selfprompt.data.images import identified
    from selfprompt.data.tree import is_image
    from selfprompt.files import read_names
    from selfprompt.runs.predict import predict

    if not all(name.strip() for name in inputs):
        raise UserError("An empty name is no file: give a path.")
    paths = [Path(with_columns(name, given(column_flags)) or "") for name in inputs]
    for path in paths if inputs_of(adapter) == "image" else ():
        if path.is_file() and not is_image(path.name) and not identified(path):
            raise UserError(f"{path} is no image, and is not called like one: leave it out.")
    names = None if class_names is None else read_names(class_names, "give a file with one class name a line")
    predictions = predict(adapter, paths, backbone=backbone, class_names=names, on_error=on_error, adapt=adapt)
    errors = [p["error"] for p in predictions if "error" in p]
    lines = [
        f"{p.get('image', shortened(p.get('text')))}  {p['label']}  {100 * p['probability']:.1f} %"
        for p in predictions
        if p["probability"] is not None
    ]
    adapted = {} if adapt is None else {"adapted": make_adaptation(adapt).describe()}
    emit({"predictions": predictions, **adapted}, json, "\n".join(lines))
    for error in errors if os.environ.get("RANK", "0") == "0" else ():
        print(f"error: {error}", file=sys.stderr)
    if errors:
        sys.exit(3)


def shortened(text: str | list[str] | None) -> str:
    """A text as a line shows it: what fits into it."""
    whole = " ".join((text if isinstance(text, str) else " | ".join(text or ())).split())
    return whole if len(whole) <= 60 else f"{whole[:57]}..."
