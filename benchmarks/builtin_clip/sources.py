"""The pictures of others that the built-in image-text model learns from: icons, clip art, glyphs of fonts."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFont, ImageOps
from PIL.ImageDraw import Draw

from builtin_clip.captions import NUMBERS, Shown
from builtin_clip.clothes import CLOTHES

LARGE = 64
"""Side of a source's picture, in pixels."""
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
    **{f"face-{k}": "face" for k in ("smiling", "affection", "tongue", "hand", "sleepy", "unwell", "hat", "glasses")},
    **{f"face-{k}": "face" for k in ("concerned", "negative", "neutral-skeptical")},
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
NOISE = {
    "by",
    "the",
    "of",
    "and",
    "with",
    "from",
    "simple",
    "symbol",
    "icon",
    "icons",
    "clipart",
    "clip",
    "art",
    "image",
    "svg",
    "form",
    "unsorted",
    "special",
    "miscellany",
    "general",
    "hash",
    "openclipart",
    "actions",
    "action",
    "apps",
    "application",
    "applications",
    "devices",
    "generic",
    "stock",
    "emblems",
    "white",
    "patterns",
    "gradients",
    "examples",
    "duplicates",
    "signs",
    "symbols",
    "etiquette",
    "nicu",
    "buculei",
    "jarno",
    "vasama",
    "gerald",
    "franc",
    "benji",
    "park",
    "architetto",
    "clip art",
    "signs and symbols",
}
"""Words of file names and keywords that say nothing of a picture: fillers, folders, authors."""
NO_FONTS = re.compile("math|symbol|d050|emoji|tamil")
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


def rendered(svg: str) -> Image.Image:
    """An SVG's picture."""
    import resvg_py

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    return Image.open(io.BytesIO(png)).convert("RGBA")


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
            at = {"left": 0, "top": 0, "width": 16, "height": 16} | listed | icon
            svg = (
                f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{LARGE}" '
                f'height="{LARGE}" viewBox="{at["left"]} {at["top"]} {at["width"]} {at["height"]}">'
            )
            if image := fitted(rendered(svg + icon["body"].replace("currentColor", "#fff") + "</svg>")):
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
        if THEMES.search(str(where)) or {"special", "icons"} & {*where.parts} or path.stat().st_size > 300_000:
            continue
        head = ""
        if (svg := Path("/usr/share/openclipart/svg") / where.with_suffix(".svg")).exists():
            head = svg.read_text(encoding="utf-8", errors="ignore")[:6000]
        if THEMES.search(head) or re.match(r"star_\d{2,}pt", path.stem):
            continue
        credits = "".join(re.findall("<dc:(?:creator|publisher)>(.*?)</dc:(?:creator|publisher)>", head, re.S))
        authors = set(re.findall("[a-z]{2,}", re.sub("<[^>]*>", " ", credits).lower()))
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
        if base in seen or NO_FONTS.search(base) or not path.endswith((".ttf", ".otf", ".woff")):
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
