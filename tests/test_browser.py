"""The page of an adapter sees pictures as Pillow resizes them, to the bit, and answers as the model does."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import selfprompt as sp
from conftest import make_backbone, write_image
from selfprompt.data.views.image import FILTERS, prepare_image
from selfprompt.serving import browser
from selfprompt.serving.browser import ENGINE, GLUE, RUNTIME, export_page, view_of

RESIZE = Path(browser.__file__).with_name("web") / "resize.js"
RUN = """
const { prepare } = require(process.argv[1]);
const cases = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(cases.map(one => {
  const data = new Uint8Array(Buffer.from(one.data, "base64"));
  return Buffer.from(prepare({ ...one, data }, one.settings)).toString("base64");
})));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_pictures_are_resized_as_pillow_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    cases, expected = [], []
    shapes = [(40, 60), (61, 37), (16, 16), (7, 9), (200, 33), (3, 90), (150, 151), (1, 1), (32, 500)]
    for most in (2**24, 600):  # the way of strips, too
        monkeypatch.setattr("selfprompt.data.views.image.MOST_PIXELS", most)
        for how in FILTERS:
            for number, (height, width) in enumerate(shapes):
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                if number % 2:
                    pixels = (pixels > 127) * np.uint8(255)  # which overshoots
                protocol = sp.Protocol(
                    image_size=16,
                    interpolation=how,
                    resize="squash" if number % 3 == 1 else "crop",
                    crop_fraction=(0.875, 1.0, 0.9)[number % 3],
                )
                expected.append(prepare_image(Image.fromarray(pixels), protocol))
                settings = {**view_of(protocol), "mostPixels": most}
                data = base64.b64encode(pixels.tobytes()).decode()
                cases.append({"data": data, "width": width, "height": height, "settings": settings})
    command = ["node", "-e", RUN, str(RESIZE)]
    done = subprocess.run(command, input=json.dumps(cases), check=True, capture_output=True, text=True)
    for case, found, right in zip(cases, json.loads(done.stdout), expected, strict=True):
        pixels = np.frombuffer(base64.b64decode(found), np.uint8).reshape(right.shape)
        assert np.array_equal(pixels, right), (case["width"], case["height"], case["settings"])


def started() -> sp.PromptedModel:
    names = ["ant", "<b>bee</b>", 'co"w</script>']
    model = sp.create_model(make_backbone(), "vpt", num_classes=3, num_prompts=2, class_names=names)
    model.initialize()
    torch.manual_seed(0)
    torch.nn.init.normal_(model.head.linear.weight)
    return model.eval()


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """Something in the place of onnxruntime-web."""
    (tmp_path / "web" / "dist").mkdir(parents=True)
    for name in (RUNTIME, GLUE, ENGINE):
        (tmp_path / "web" / "dist" / name).write_bytes(name.encode())
    return tmp_path / "web"


def test_a_page_holds_the_program_and_loads_nothing_else(runtime: Path, tmp_path: Path, monkeypatch, fails) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(browser, "PIECE", 3000)
    done = export_page(started(), tmp_path / "page", runtime)
    files = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "page").iterdir()}
    assert done["bytes"] == sum(len(text.encode()) for text in files.values())
    page = files["index.html"]
    assert "</b>" not in page
    assert page.count("</script>") == page.count("<script")
    assert [name for name in files if name != "index.html" and f'src="{name}"' not in page] == []
    assert [word for word in ("http://", "https://", "fetch(") if word in page] == []
    pieces = sorted((n for n in files if n.startswith("program-")), key=lambda name: int(name[8:-3]))
    program = b"".join(base64.b64decode(files[name].split('"')[1]) for name in pieces)
    assert len(pieces) > 1
    assert onnxruntime.InferenceSession(program).get_outputs()[0].name == "logits"
    (runtime / "dist" / ENGINE).unlink()
    started().save_pretrained(tmp_path / "adapter")
    where = ("export", tmp_path / "adapter", "--out", tmp_path / "other", "--html")
    assert f"{runtime} has no {ENGINE}: give the folder" in fails(*where, "--onnxruntime-web", runtime)
    assert "--html and --onnxruntime-web DIR go together" in fails(*where)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.skipif("ONNXRUNTIME_WEB" not in os.environ, reason="ONNXRUNTIME_WEB is the folder of onnxruntime-web")
def test_a_browser_answers_as_the_model_does(tmp_path: Path) -> None:
    """Fifty pictures of other sizes than the model's, in headless Chromium, from a file, with the network off."""
    play = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("needs Chromium")
    model = started()
    model.save_pretrained(tmp_path / "adapter")
    export_page(model, tmp_path / "page", os.environ["ONNXRUNTIME_WEB"])
    files = [tmp_path / "new" / f"{i:02}.{('png', 'jpg', 'webp')[i % 3]}" for i in range(50)]
    for i, file in enumerate(files):
        write_image(file, i % 3, i, size=33 + 7 * i)
    (tmp_path / "new" / "broken.png").write_bytes(b"no picture")
    with play.sync_playwright() as player:
        context = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_context(offline=True)
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((tmp_path / "page" / "index.html").as_uri())
        page.wait_for_function("document.getElementById('state').textContent.startsWith('Ready')", timeout=120_000)
        page.set_input_files("#files", [*files, tmp_path / "new" / "broken.png"])
        page.wait_for_selector("li[data-error]", state="attached", timeout=120_000)
        found = page.eval_on_selector_all("li[data-label]", "all => all.map(one => ({ ...one.dataset }))")[::-1]
        wrong = page.eval_on_selector_all("li[data-error]", "all => all.map(one => one.dataset.error)")
    expected = sp.predict(tmp_path / "adapter", files, backbone=make_backbone())
    assert len({one["label"] for one in expected}) > 1
    assert [one["label"] for one in found] == [one["label"] for one in expected]
    sure = [float(one["probability"]) for one in found]
    assert sure == pytest.approx(
        [one["probability"] for one in expected], abs=0.02
    )  # decoders of JPEG differ a little
    assert sure[::3] == pytest.approx([one["probability"] for one in expected][::3], abs=1e-4)
    assert [error.partition(":")[0] for error in wrong] == ["broken.png cannot be read"]
    assert said == []
