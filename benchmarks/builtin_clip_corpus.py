"""Draw the pictures, and write the captions, that the built-in image-text model is trained on.

    apt-get install openclipart-png openclipart-svg unicode-data FONTS
    npm install emojilib @iconify-json/ICONS @fontsource/HANDS
    pip install resvg-py
    python benchmarks/builtin_clip_corpus.py corpus
    selfprompt pretrain corpus --kind clip --start builtin --image-lr 8e-4 --out builtin_clip

What stands for FONTS, ICONS and HANDS is below. Every source lets pictures of it, and weights trained on them, be
handed on: openclipart is in the public domain; the icons are under the MIT or Apache licence; a glyph's picture is
free whatever its font's licence; clothes and scenes are drawn by this program. No photograph and no labelled data
set is among them. The seed decides every picture and word.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from builtin_clip.captions import caption
from builtin_clip.clothes import clothes
from builtin_clip.scenes import scenes
from builtin_clip.sources import Picture, clip_art, glyphs, icons, rendered
from builtin_clip.views import view

ICONS = "noto fluent-emoji-flat fluent-emoji-high-contrast fxemoji mdi ph"
FONTS = """
fonts-apropal fonts-averia-sans-gwf fonts-averia-serif-gwf fonts-beteckna fonts-breip fonts-cabin fonts-comic-neue
fonts-dancingscript fonts-dkg-handwriting fonts-dosis fonts-ecolier-court fonts-fantasque-sans fonts-femkeklaver
fonts-freefont-ttf fonts-havana fonts-humor-sans fonts-inconsolata fonts-isabella fonts-joscelyn fonts-jura
fonts-karla fonts-kaushanscript fonts-klee fonts-kristi fonts-lato fonts-leckerli-one fonts-lobster fonts-lobstertwo
fonts-open-sans fonts-play fonts-quicksand fonts-rufscript fonts-sjfonts fonts-tomsontalks fonts-urw-base35
fonts-vollkorn fonts-yusei-magic
"""
HANDS = """
amatic-sc annie-use-your-telescope architects-daughter bad-script caveat caveat-brush cedarville-cursive
covered-by-your-grace delicious-handrawn delius gaegu gloria-hallelujah gochi-hand handlee homemade-apple
indie-flower itim kalam marck-script nanum-brush-script nanum-pen-script neucha patrick-hand permanent-marker
reenie-beanie rock-salt schoolbell shadows-into-light short-stack sriracha sue-ellen-francisco swanky-and-moo-moo
"""
SHARES = {"icons": 0.28, "clip art": 0.1, "digits": 0.17, "letters": 0.1, "clothes": 0.15, "scenes": 0.2}
"""Of the pictures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--npm", type=Path, default=Path("node_modules"))
    parser.add_argument("--pictures", type=int, default=120_000, help="how many")
    parser.add_argument("--captions", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    digits, letters = glyphs(given.npm)
    sources: dict[str, Iterator[Picture]] = {
        "icons": again(icons(given.npm), rng),
        "clip art": again(clip_art(), rng),
        "digits": again(digits, rng),
        "letters": again(letters, rng),
        "clothes": (Picture(rendered(svg), shown) for svg, shown in clothes(rng)),
        "scenes": (Picture(rendered(svg), shown, warp=0) for svg, shown in scenes(rng)),
    }
    names = rng.permutation(np.repeat([*SHARES], [round(share * given.pictures) for share in SHARES.values()]))
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption", "says", "facts"])
        for index, name in enumerate(names):
            image, shown = view(next(sources[name]), rng)
            path = Path(f"{index // 1000:03d}") / f"{index:06d}.png"
            (given.out / path).parent.mkdir(exist_ok=True)
            image.save(given.out / path, compress_level=1)
            facts = ";".join(sorted(shown.holds()))
            for text, said in dict(caption(shown, rng) for _ in range(given.captions)).items():
                table.writerow([path.as_posix(), text, ";".join(sorted(said)), facts])


def again(pictures: list[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    """Without end: all pictures in random order, time after time."""
    while True:
        yield from (pictures[i] for i in rng.permutation(len(pictures)))


if __name__ == "__main__":
    main()
