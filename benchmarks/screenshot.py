"""Opens a report in headless Chromium, light and dark, on a phone and on a desk; the README's picture.

    pip install playwright && apt-get install chromium
    selfprompt tune --out runs/quickstart
    python benchmarks/screenshot.py runs/quickstart/report.html --out shots --readme docs/report.png

Ends with an error if the page logs anything, asks for anything, or is wider than the window.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTHS, README_HEIGHT = (400, 1400), 1500
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path("shots"))
    parser.add_argument("--readme", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    address, wrong = args.page.resolve().as_uri(), []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page, name = context.new_page(), f"{scheme}-{width}"
                page.on("console", lambda message, name=name: wrong.append(f"{name}: {message.text}"))
                page.on("pageerror", lambda error, name=name: wrong.append(f"{name}: {error}"))
                page.on("request", lambda asked, name=name: wrong.append(f"{name}: {asked.url}"))
                page.goto(address)
                if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                    wrong.append(f"{name}: {wide} pixels wide")
                page.screenshot(path=args.out / f"{name}.png", full_page=True)
        browser.close()
    wrong = [what for what in wrong if not what.endswith(address) and ": data:" not in what]
    if args.readme:
        picture = Image.open(args.out / "light-1400.png").crop((120, 0, 1280, README_HEIGHT))
        picture.quantize(128).save(args.readme, optimize=True)
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
