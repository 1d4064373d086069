"""An adapter as a page: a folder whose index.html, opened as a file, classifies pictures in a browser."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL
from jinja2 import Environment, PackageLoader
from typing_extensions import TypedDict

from selfprompt.assembly import load
from selfprompt.backbones.load import BackboneSource
from selfprompt.data.protocol import Protocol, image_protocol
from selfprompt.data.views.image import MOST_PIXELS
from selfprompt.errors import UserError
from selfprompt.files import replace_file, unwritable
from selfprompt.model import PromptedModel
from selfprompt.serving.export import export

RUNTIME, GLUE, ENGINE = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
OWN = ("resize.js", "classify.js")
PIECE = 3 * 2**24  # bytes of a program in one script: a browser's strings end at half a gigabyte
LARGEST = 2**31  # bytes of an ONNX file


class Page(TypedDict):
    """The folder that was written."""

    out: str
    format: str
    image_size: int
    num_classes: int
    bytes: int


def export_page(
    adapter: str | Path | PromptedModel,
    out: str | Path,
    runtime: str | Path,
    *,
    backbone: BackboneSource | None = None,
) -> Page:
    """Write a folder with a page that classifies pictures by itself: open its index.html, or put it on any server.

    A file may load no other but scripts, so that the program (ONNX) and onnxruntime-web are in scripts, too. Pictures
    are resized as the protocol says, to the bit as Pillow does it, not as a canvas would.

    Args:
        adapter: A folder, ``hf:user/name``, or a model.
        out: The folder.
        runtime: onnxruntime-web as npm has it, or its ``dist``: there is no package of it for Python, it is 14 MB,
            and selfprompt downloads nothing by itself.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: As of `export`; there is no onnxruntime-web; the adapter is of texts, or of images of more than 8
            bits, which browsers do not keep; or its program is too large for one.
    """
    out, found = Path(out), runtime_in(Path(runtime))
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give --out a folder.")
    model = adapter if isinstance(adapter, PromptedModel) else load(adapter, backbone)
    protocol = image_protocol(model.protocol)
    if model.multi_label:
        raise UserError("The page names one class, and this adapter gives several labels: export .onnx.")
    if protocol.value_range is not None:
        raise UserError("The adapter is of images of more than 8 bits, which browsers do not keep: export .onnx.")
    with tempfile.TemporaryDirectory() as folder:
        made = export(model, Path(folder) / "program.onnx")
        if len(files := list(Path(folder).iterdir())) > 1 or files[0].stat().st_size >= LARGEST:
            raise UserError("The program is too large for a browser (2 GB or more): use a smaller backbone.")
        program = files[0].read_bytes()
    scripts = {"onnxruntime.js": found[RUNTIME]}
    for part, contents in (("glue", found[GLUE]), ("runtime", found[ENGINE]), ("program", program)):
        scripts |= {f"{part}-{i}.js": script for i, script in enumerate(embedded(part, contents))}
    scripts |= {name: Path(__file__).with_name("web").joinpath(name).read_bytes() for name in OWN}
    classes = model.class_names or [str(i) for i in range(model.num_classes)]
    settings = {**view_of(protocol), "classes": classes}
    title = f"{model.num_classes:,} classes by {model.method.name}"
    words = f"{model.method.name} on {model.backbone.info.architecture}, by selfprompt and ONNX Runtime Web."
    templates = Environment(loader=PackageLoader("selfprompt.serving", "web"), autoescape=True)
    page = templates.get_template("index.html").render(
        title=title, words=words, settings=settings, scripts=list(scripts)
    )
    for name, contents in {**scripts, "index.html": page}.items():
        replace_file(out / name, contents)
    size = sum(len(contents) for contents in scripts.values()) + len(page.encode())
    return {
        "out": str(out),
        "format": "html",
        "image_size": made["image_size"],
        "num_classes": made["num_classes"],
        "bytes": size,
    }


def view_of(protocol: Protocol) -> dict[str, Any]:
    """How resize.js makes of a picture what the model sees."""
    return {
        "size": protocol.image_size,
        "resize": protocol.resize,
        "cropFraction": protocol.crop_fraction,
        "interpolation": protocol.interpolation,
        "mostPixels": MOST_PIXELS,
        "tallFirst": int(PIL.__version__.partition(".")[0]) >= 13,  # the Pillow that is used here
    }


def embedded(part: str, contents: bytes) -> Iterator[bytes]:
    """Scripts that hold some bytes, a piece each."""
    for start in range(0, len(contents), PIECE):
        text = base64.b64encode(contents[start : start + PIECE])
        yield b'EMBEDDED.%s.push("%s");\n' % (part.encode(), text)


def runtime_in(folder: Path) -> dict[str, bytes]:
    """The three files of onnxruntime-web that are needed.

    Raises:
        UserError: One is not there.
    """
    place = next((place for place in (folder, folder / "dist") if (place / RUNTIME).is_file()), folder)
    try:
        return {name: (place / name).read_bytes() for name in (RUNTIME, GLUE, ENGINE)}
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} has no {Path(error.filename).name}: give the folder of npm's onnxruntime-web (npm install "
            f"onnxruntime-web puts it into node_modules)."
        ) from None
    except OSError as error:
        raise unwritable(place, error, "read") from None
