"""The whole way in headless Chromium, by clicks: from the embedded data to a downloaded adapter."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import selfprompt as sp
from selfprompt.data.images import read_image

pytestmark = pytest.mark.slow
PATIENCE = 600_000  # milliseconds for what the machine computes
WIDTHS = (400, 1400)
FAINT = """() => {
  const read = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => [0, 1, 2].map(i => (top[3] ?? 1) * top[i] + (1 - (top[3] ?? 1)) * under[i]);
  const behind = node => {
    if (!node) return read(getComputedStyle(document.body).backgroundColor);
    const own = read(getComputedStyle(node).backgroundColor);
    return own[3] === 0 ? behind(node.parentElement) : over(own, behind(node.parentElement));
  };
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const said = node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
  return [...document.body.querySelectorAll("*")].filter(node => said(node) && node.checkVisibility()
    && !node.matches(":disabled, option, .unseen, .skip")).flatMap(node => {
    const under = behind(node), [a, b] = [light(over(read(getComputedStyle(node).color), under)), light(under)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    return ratio < 4.5 ? [`${node.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`] : [];
  });
}"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """That of a studio of its own, over nothing but the embedded data."""
    command = [sys.executable, "-m", "selfprompt", "studio", "--json", "--port", "0", "--out", str(tmp_path / "runs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


@pytest.fixture
def browser() -> Iterator[Any]:
    play = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or os.environ.get("CHROMIUM") or pytest.skip("needs Chromium")
    with play.sync_playwright() as player:
        yield player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


def until(page: Any, true: str) -> None:
    """Wait for something to be so; playwright's own way evaluates text in the page, which the policy forbids."""
    for _ in range(PATIENCE // 200):
        if page.evaluate(true):
            return
        page.wait_for_timeout(200)
    raise AssertionError(true)


def fits_and_is_readable(page: Any) -> None:
    """At both widths, in light and dark."""
    page.wait_for_load_state()  # with its stylesheet
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (page.url, width)
        assert page.evaluate(FAINT) == [], (page.url, scheme)


def test_from_data_to_a_downloaded_adapter(browser: Any, address: str, tmp_path: Path) -> None:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    said, outside = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    own = address.partition("?")[0]
    page.on("request", lambda one: one.url.startswith((own, "data:", "blob:")) or outside.append(one.url))
    page.goto(address)
    assert "token" not in page.url
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    fits_and_is_readable(page)

    page.click("text=Look at the data")
    until(page, "[...document.images].some(image => image.naturalWidth)")
    page.click("button:text-is('Check')")
    page.wait_for_selector("#checked .good")
    fits_and_is_readable(page)

    page.click("text=Plan a run")
    page.check("input[value=fast]")
    page.click("text=More settings")
    page.fill("input[name=epochs]", "150")
    page.locator("input[name=epochs]").blur()
    page.wait_for_selector("#price code:has-text('--method linear --epochs 150')")
    fits_and_is_readable(page)
    page.click("text=Start the run")

    page.wait_for_selector("#live polyline")
    page.click("button:text-is('Stop')")  # at once: its epochs are short
    page.wait_for_selector("text=stopped, can be resumed")
    fits_and_is_readable(page)
    page.click("button:text-is('Resume')")
    page.wait_for_selector("#live polyline")
    fits_and_is_readable(page)
    page.wait_for_selector("text=epoch 150 of 150")
    page.wait_for_selector("text=Look at its mistakes")
    fits_and_is_readable(page)
    (run,) = (tmp_path / "runs").iterdir()
    assert "tune --method linear --epochs 150 --out" in (run / "command.txt").read_text(encoding="utf-8")

    page.click("text=Look at its mistakes")
    page.wait_for_load_state()  # with the script that opens a cell in its place
    cell = page.locator("td[class^=wrong] a").first
    count = int(cell.inner_text())
    cell.click()
    until(page, f"document.querySelectorAll('#cell img').length === {count}")
    until(page, "[...document.querySelectorAll('#cell img')].every(image => image.naturalWidth)")
    fits_and_is_readable(page)

    pictures, images = tmp_path / "new", sp.load_dataset("mnist5k").train.images
    pictures.mkdir()
    for i in range(0, 5000, 500):
        read_image(images[i]).save(pictures / f"{i:04}.png")
    expected = {Path(str(one["image"])).name: one for one in sp.predict(run, pictures)}
    page.click("nav >> text=Try")
    page.set_input_files("#folder", pictures)
    until(page, f"document.querySelectorAll('#answers li').length === {len(expected)}")
    fits_and_is_readable(page)
    answers = page.eval_on_selector_all("#answers li", "all => all.map(one => ({ ...one.dataset }))")
    for one in answers:
        right = expected[one["input"].rpartition("/")[2]]
        assert one["label"] == right["label"]
        assert float(one["probability"]) == pytest.approx(right["probability"], abs=1e-5)
    threshold = sorted(one["probability"] for one in expected.values())[5]
    page.focus("#threshold")
    page.keyboard.press("End")
    assert set(page.locator("#answers b").all_inner_texts()) <= {
        "left open",
        *(o["label"] for o in expected.values()),
    }
    page.fill("#threshold", f"{threshold - 0.005:.2f}")
    assert "coverage" in page.inner_text("#keeps")
    with page.expect_download() as got:
        page.click("text=Save as CSV")
    rows = list(csv.DictReader(Path(got.value.path()).read_text(encoding="utf-8").splitlines()))
    least = float(page.input_value("#threshold"))
    for row in rows:
        right = expected[row["image"].rpartition("/")[2]]
        assert row["label"] == (right["label"] if right["probability"] >= least else "")

    page.click("#clear")
    (pictures / "notes.txt").write_text("no image", encoding="utf-8")
    place, drag = page.locator("#drop").bounding_box(), page.context.new_cdp_session(page)
    dragged = {"items": [], "files": [str(pictures)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": place["x"] + 20, "y": place["y"] + 20}
        drag.send("Input.dispatchDragEvent", {"type": kind, **at, "data": dragged})
    until(page, f"document.querySelectorAll('#answers li').length === {len(expected)}")
    dropped = page.eval_on_selector_all("#answers li", "all => all.map(one => one.dataset.input)")
    assert dropped == [f"{pictures.name}/{name}" for name in sorted(expected)]

    page.click("nav >> text=Take")
    fits_and_is_readable(page)
    with page.expect_download() as got:
        page.click("text=Download the zip file")
    with zipfile.ZipFile(got.value.path()) as archive:
        archive.extractall(tmp_path / "taken")
    taken = sp.predict(tmp_path / "taken" / run.name, pictures)
    assert [one["label"] for one in taken] == [one["label"] for one in sp.predict(run, pictures)]
    for name in ("Compare", "Serve"):
        page.click(f"header >> text={name}")
        fits_and_is_readable(page)
    assert (said, outside) == ([], [])
