"""Draw the pictures, and write the captions, that the built-in image-text model is trained on.

    apt-get install openclipart-png openclipart-svg unicode-data fonts-... (see FONTS)
    npm install @iconify-json/noto ... @fontsource/... (see ICONS and HANDS); pip install resvg-py
    python benchmarks/builtin_clip_corpus.py corpus --npm node_modules
    selfprompt pretrain corpus --kind clip --out builtin_clip

Every source lets pictures of it, and weights trained on them, be handed on: openclipart is in the public domain; the icon
sets are under the MIT or Apache licence; a glyph's picture is free whatever its font's licence; clothes and scenes
are drawn here. No photograph and no labelled data set is among them. The seed decides every picture and word.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from builtin_clip_captions import COLOURS, LOOKS, NUMBERS, Shown, caption
from builtin_clip_drawings import CLOTHES, clothes, scenes
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageFont, ImageOps
from PIL.ImageDraw import Draw

SIDE, LARGE = 40, 64
SHARES = {"icons": 0.28, "clip art": 0.1, "digits": 0.17, "letters": 0.1, "clothes": 0.15, "scenes": 0.2}
ICONS = {
    "noto": ("emoji", False),  # Apache-2.0
    "fluent-emoji-flat": ("emoji", False),  # MIT
    "fluent-emoji-high-contrast": ("outline", True),  # MIT
    "fxemoji": ("emoji", False),  # Apache-2.0
    "mdi": ("icon", True),  # Apache-2.0
    "ph": ("icon", True),  # MIT
}
"""Sets of npm's @iconify-json: how their pictures are drawn, and whether in one colour."""
HAND = re.compile(
    "dkg|breip|comic|dancing|ecolier|femke|humor|isabella|kaushan|kristi|klee|rufscript|tomson|yusei|hand|fontsource",
    re.I,
)
"""Fonts, by their paths, that look written; of npm's @fontsource all that the command above installs are."""
NO_NAMES = re.compile(
    r"\b(microsoft|google|github|gitlab|language|alpha|numeric|format|file|wifi|network|logo|box|align|gauge|signal"
    r"|account|folder|cloud|database|server|message|cursor|table|view|sort|cellphone|bluetooth|wan|lan|nfc|sim|usb)\b"
)
"""Words of icons of which there are hundreds, and which show little of what they say."""
THEMES = re.compile("theme|gnome|kde|mimetype|etiquette|crystal|nuvola|tango|appicon", re.I)


KINDS = {
    **dict.fromkeys(
        ("face-smiling", "face-affection", "face-tongue", "face-hand", "face-sleepy", "face-unwell"), "face"
    ),
    **dict.fromkeys(
        ("face-hat", "face-glasses", "face-concerned", "face-negative", "face-neutral-skeptical"), "face"
    ),
    **dict.fromkeys(("hand-fingers-open", "hand-fingers-partial", "hand-single-finger", "hands"), "hand"),
    **dict.fromkeys(("person", "person-role", "person-gesture", "person-fantasy", "person-activity"), "person"),
    **{"cat-face": "cat", "heart": "heart", "body-parts": "body part", "person-sport": "sport", "family": "family"},
    **{"animal-mammal": "mammal", "animal-bird": "bird", "animal-reptile": "reptile", "animal-bug": "insect"},
    **{"animal-marine": "sea animal", "plant-flower": "flower", "plant-other": "plant", "food-fruit": "fruit"},
    **{"food-vegetable": "vegetable", "food-prepared": "meal", "food-asian": "asian food", "food-sweet": "dessert"},
    **{"drink": "drink", "dishware": "dishes", "place-building": "building", "place-geographic": "landscape"},
    **{"transport-ground": "vehicle", "transport-water": "boat", "transport-air": "aircraft", "time": "clock"},
    **{"sky & weather": "weather", "sport": "sport", "game": "game", "clothing": "clothing", "tool": "tool"},
    **{"musical-instrument": "musical instrument", "phone": "phone", "computer": "computer", "money": "money"},
    **{"book-paper": "book", "mail": "mail", "writing": "pen", "office": "office supplies", "science": "science"},
    **{"medical": "medicine", "household": "household object", "arrow": "arrow", "zodiac": "zodiac sign"},
    **{"transport-sign": "sign", "warning": "warning sign", "event": "celebration", "award-medal": "medal"},
}
"""Subgroups of Unicode's emoji, as one would call what is in them."""
NOISE = set(
    "by the of and with from simple symbol icon icons clipart clip art image svg form unsorted special miscellany general "
    "hash openclipart actions action apps application applications devices generic stock emblems white patterns "
    "gradients examples duplicates signs symbols etiquette nicu buculei jarno vasama gerald franc benji park architetto".split()
) | {"clip art", "signs and symbols"}
STYLES = {"bold": "bold|black|heavy", "italic": "italic|oblique", "thin": "thin|light|hairline"}


@dataclass(frozen=True)
class Picture:
    """A source's picture on a transparent ground.

    Args:
        image: RGBA, `LARGE` pixels.
        shown: What it shows.
        mono: Its shape alone counts; each view gives it a colour.
        warp: How far a view may bend it, 0 to 1.
    """

    image: Image.Image
    shown: Shown
    mono: bool = False
    warp: float = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--npm", type=Path, default=Path("node_modules"))
    parser.add_argument("--pictures", type=int, default=120_000)
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


def rendered(svg: str) -> Image.Image:
    """An SVG's picture."""
    import resvg_py

    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)))).convert(
        "RGBA"
    )


def fitted(image: Image.Image) -> Image.Image | None:
    """What is not transparent, in the middle of a square; None where nothing is."""
    box = image.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox()
    if box is None:
        return None
    image = ImageOps.contain(image.crop(box), (LARGE - 4, LARGE - 4), Image.Resampling.BICUBIC)
    square = Image.new("RGBA", (LARGE, LARGE))
    square.paste(image, ((LARGE - image.width) // 2, (LARGE - image.height) // 2))
    return square


def named(name: str, *kinds: str) -> dict[str, tuple[str, ...]]:
    """A thing and its kinds, each with the ways to say it; clothes under the name that they go by here."""
    known = next((thing for thing, ways in CLOTHES.items() if name in ways), name)
    return {word: CLOTHES.get(word, (word,)) for word in dict.fromkeys([known, *kinds]) if word}


def icons(npm: Path) -> list[Picture]:
    """Emoji and icons, without skin tones, flags and logos; clothes among them several times."""
    emoji, found = emoji_names(npm), []
    for folder, (medium, mono) in ICONS.items():
        listed = json.loads((npm / "@iconify-json" / folder / "icons.json").read_text(encoding="utf-8"))
        for key, icon in sorted(listed["icons"].items()):
            words = key.replace("-", " ")
            if re.search(r"skin-tone|flag|-(thin|light|bold|duotone|off|medium|dark|medium-dark|medium-light)$", key):
                continue
            drawn = medium
            if folder in ("mdi", "ph"):
                outline = key.endswith("-outline") or (folder == "ph" and not key.endswith("-fill"))
                drawn = "outline" if outline else "icon"
                words = " ".join(re.sub(r" (outline|fill|variant|simple)\b|\b\d+\b", "", words).split())
                if not 3 <= len(words) <= 24 or (NO_NAMES.search(words) and zlib.crc32(key.encode()) % 6):
                    continue
                names = named(words)
            elif (squashed := key.replace("-", "")) in emoji:
                names = named(*emoji[squashed])
            else:
                continue
            size = f"{icon.get('left', 0)} {icon.get('top', 0)} {icon.get('width', listed.get('width', 16))} {icon.get('height', listed.get('height', 16))}"
            body = icon["body"].replace("currentColor", "#fff")
            svg = (
                f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{size}" '
                f'width="{LARGE}" height="{LARGE}">{body}</svg>'
            )
            if image := fitted(rendered(svg)):
                picture = Picture(image, Shown(drawn, names), mono)
                found += [picture] * (6 if CLOTHES.keys() & names.keys() else 1)
    return found


def emoji_names(npm: Path) -> dict[str, tuple[str, ...]]:
    """Each emoji's name without blanks, to its name, its kind and its keywords (Unicode's table, and emojilib's)."""
    keywords = json.loads((npm / "emojilib/dist/emoji-en-US.json").read_text(encoding="utf-8"))
    found, kind, group = {}, "", ""
    for line in Path("/usr/share/unicode/emoji/emoji-test.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# subgroup:"):
            kind = KINDS.get(line.split(": ")[1], "")
        elif line.startswith("# group:"):
            group = line.split(": ")[1]
        elif match := re.search(r"; fully-qualified\s+# (\S+) E[\d.]+ (.*)$", line):
            name = re.sub(r"[^a-z0-9 ]+", " ", match[2].lower().replace("’", "")).strip()
            if group != "Flags" and "skin tone" not in name:
                words = [word.replace("_", " ") for word in keywords.get(match[1], [])[1:6]]
                words = [word for word in words if re.fullmatch("[a-z ]{3,20}", word)]
                found[re.sub("[^a-z0-9]", "", name)] = (name, kind, *words)
    return found


def clip_art() -> list[Picture]:
    """openclipart's drawings without icon themes, by file name, folder, and the keywords of the SVG beside it."""
    root, found = Path("/usr/share/openclipart/png"), []
    for path in sorted(root.rglob("*.png")):
        where = path.relative_to(root)
        if (
            THEMES.search(str(where))
            or where.parts[0] == "special"
            or "icons" in where.parts
            or path.stat().st_size > 300_000
        ):
            continue
        head = ""
        if (svg := Path("/usr/share/openclipart/svg") / where.with_suffix(".svg")).exists():
            head = svg.read_text(encoding="utf-8", errors="ignore")[:6000]
        if THEMES.search(head) or re.match(r"star_\d{2,}pt", path.stem):
            continue
        authors = set(
            re.findall(
                r"[a-z]{2,}",
                " ".join(
                    re.findall(
                        r"<dc:title>(.*?)</dc:title>",
                        "".join(re.findall(r"<dc:(?:creator|publisher)>.*?</dc:(?:creator|publisher)>", head, re.S)),
                        re.S,
                    )
                ).lower(),
            )
        )
        words = [w for w in re.findall("[a-z]{2,}", path.stem.lower()) if w not in authors | NOISE]
        keywords = [k.lower().replace("_", " ") for k in re.findall(r"<rdf:li>([^<]{3,20})</rdf:li>", head)]
        keywords = [k for k in keywords if re.fullmatch("[a-z ]+", k) and k not in NOISE]
        kind = path.parent.name.replace("_", " ")
        name = " ".join(words[:4]) or kind
        with Image.open(path) as image:
            if image.width * image.height > 4_000_000:
                continue
            image.draft("RGBA", (256, 256))
            image = image.convert("RGBA").reduce(max(1, max(image.size) // (2 * LARGE)))
        if image := fitted(image):
            found.append(Picture(image, Shown("clip art", named(name, "" if kind in NOISE else kind, *keywords[:5]))))
    return found


def glyphs(npm: Path) -> tuple[list[Picture], list[Picture]]:
    """Digits and letters of all fonts that are installed; those that look written three times."""
    listed = subprocess.run(["fc-list", ":lang=en", "file"], capture_output=True, text=True, check=True).stdout
    paths = {line.strip().removesuffix(":") for line in listed.splitlines()}
    paths |= {str(path) for path in npm.glob("@fontsource/*/files/*-latin-[47]00-normal.woff")}
    digits: list[Picture] = []
    letters: list[Picture] = []
    seen: set[str] = set()
    for path in sorted(paths):
        base = Path(path).stem.lower()
        if (
            base in seen
            or not path.endswith((".ttf", ".otf", ".woff"))
            or re.search("math|symbol|d050|emoji|tamil", base)
        ):
            continue
        seen.add(base)
        font = ImageFont.truetype(path, 56)
        written = bool(HAND.search(path))
        style = next((s for s, words in STYLES.items() if re.search(words, base)), "")
        facts = {"style": "handwritten" if written else style} if written or style else {}
        for char in "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
            mask = Image.new("L", (128, 128))
            Draw(mask).text((28, 20), char, font=font, fill=255)
            ink = Image.new("RGBA", mask.size, "white")
            ink.putalpha(mask)
            if not (image := fitted(ink)):
                continue
            own = facts
            if char.isdigit():
                word = NUMBERS[int(char)]
                ways = (word, word, char, f"digit {word}", f"number {word}", f"digit {char}", f"number {char}")
                names = {f"digit {char}": ways, "digit": ("digit", "number")}
            else:
                names = {f"letter {char.lower()}": (f"letter {char.lower()}", char.lower()), "letter": ("letter",)}
                own = facts | {"case": "lowercase" if char.islower() else "uppercase"}
            picture = Picture(image, Shown("glyph", names, own), mono=True, warp=1)
            (digits if char.isdigit() else letters).extend([picture] * (3 if written else 1))
    return digits, letters


def view(picture: Picture, rng: np.random.Generator) -> tuple[Image.Image, Shown]:
    """A picture bent, coloured, on a background and, often, spoilt in some way; with what is then true of it."""
    image, facts = picture.image, dict(picture.shown.facts)
    if picture.shown.medium == "glyph":
        alpha, stroke = image.getchannel("A"), rng.random()
        alpha = alpha.filter(ImageFilter.MaxFilter(3)) if stroke < 0.4 else alpha.filter(ImageFilter.MinFilter(3)) if stroke > 0.9 else alpha  # fmt: skip
        alpha = alpha.filter(ImageFilter.MaxFilter(3)) if stroke < 0.15 else alpha
        image.putalpha(alpha) if (image := image.copy()) else None
    if picture.warp:
        image = bent(image, picture.warp, rng)
    if "on" not in facts:
        dark = {"clothes": 0.65, "glyph": 0.45}.get(picture.shown.medium, 0.25 if picture.mono else 0.12)
        chance, own = rng.random(), facts.get("colour")
        ground = "black" if chance < dark else "white" if chance < dark + 0.3 else pick(COLOURS, rng)
        if ground == own:
            ground = "white" if own == "black" else "black"
        below = Image.new("RGBA", image.size, tint(ground, rng))
        facts["on"] = ground
        if picture.mono:
            far = [c for c in COLOURS if np.abs(np.subtract(COLOURS[c], COLOURS[ground])).sum() > 150]
            ink = {"black": "white", "white": "black"}.get(ground) if rng.random() < 0.55 else None
            facts["colour"] = ink or pick(far, rng)
            solid = Image.new("RGBA", image.size, tint(facts["colour"], rng))
            solid.putalpha(image.getchannel("A"))
            image = solid
        image = Image.alpha_composite(below, image)
    image = image.convert("RGB").resize(
        (SIDE, SIDE), Image.Resampling.BOX if rng.random() < 0.3 else Image.Resampling.BILINEAR
    )
    if rng.random() < 0.3:
        facts["look"] = pick(LOOKS, rng)
        image = spoilt(image, facts["look"], rng)
        if facts["look"] in ("inverted", "black and white"):
            facts.pop("on"), facts.pop("colour", None)
    return image, replace(picture.shown, facts=facts)


def pick(words: object, rng: np.random.Generator) -> str:
    """One of some words."""
    words = list(words)  # type: ignore[call-overload]
    return words[rng.integers(len(words))]


def tint(colour: str, rng: np.random.Generator) -> tuple[int, ...]:
    """A colour, nearly."""
    return (*(int(v) for v in np.clip(np.add(COLOURS[colour], rng.integers(-18, 19, 3)), 0, 255)), 255)


def bent(image: Image.Image, warp: float, rng: np.random.Generator) -> Image.Image:
    """An image turned, scaled, sheared and moved, and bent as rubber."""
    side, cells = image.width, 4
    turn, scale = rng.uniform(-0.28, 0.28), np.exp(rng.uniform(-0.15, 0.4, 2) + rng.uniform(-0.05, 0.1))
    shear = warp * rng.uniform(-0.25, 0.25)
    matrix = np.array([[np.cos(turn), np.sin(turn) + shear], [-np.sin(turn), np.cos(turn)]]) * scale[:, None]
    ticks = np.linspace(0, side, cells + 1)
    grid = np.stack(np.meshgrid(ticks, ticks), -1)  # (row, column, xy)
    grid = (grid - side / 2) @ matrix.T + side / 2 + rng.uniform(-0.06, 0.06, 2) * side
    grid += rng.normal(0, 0.025 * warp * side, grid.shape)
    step = side // cells
    mesh = []
    for i, j in itertools.product(range(cells), range(cells)):
        corners = (grid[i, j], grid[i + 1, j], grid[i + 1, j + 1], grid[i, j + 1])
        mesh.append(((j * step, i * step, (j + 1) * step, (i + 1) * step), tuple(np.concatenate(corners))))
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def spoilt(image: Image.Image, look: str, rng: np.random.Generator) -> Image.Image:
    """An image that looks as a key of `LOOKS` says."""
    if look == "blurry":
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(1.3, 2.5)))
    if look == "noisy":
        noise = rng.normal(0, 255 * rng.uniform(0.08, 0.3), (SIDE, SIDE, 3))
        return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if look == "inverted":
        return ImageChops.invert(image)
    if look == "black and white":
        return image.convert("L").convert("RGB")
    if look == "low contrast":
        return ImageEnhance.Contrast(image).enhance(rng.uniform(0.2, 0.5))
    if look == "dark":
        return ImageEnhance.Brightness(image).enhance(rng.uniform(0.25, 0.55))
    return image.resize((SIDE // 3,) * 2, Image.Resampling.BOX).resize((SIDE,) * 2, Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
