"""The tables in README.md, benchmarks/README.md and docs/, from the files that hold their numbers.

python benchmarks/render.py            # fills every block between <!-- table NAME --> and <!-- end -->
python benchmarks/render.py --check    # says which block is not what its file says
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path

import counts
import speed
from selfprompt.comparison.published import published

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
DOCUMENTS = (ROOT / "README.md", HERE / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def claim() -> str:
    """What the SPT paper reports of a ViT-B pretrained by MAE."""
    fgvc, vtab = published("fgvc", "mae"), published("vtab1k", "mae")
    lines = ["| method | FGVC | VTAB natural | specialized | structured |", "|---|---|---|---|---|"]
    runs = []
    for method in ("full", "vpt", "spt"):
        (one,) = (row for row in fgvc[method] if row.paper == "spt2024")
        (other,) = (row for row in vtab[method] if row.paper == "spt2024")
        cells = [
            statistics.mean(one.numbers.values()),
            *(other.numbers[g] for g in ("natural", "specialized", "structured")),
        ]
        lines.append(f"| {method} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
        whose = [f"{row.copied or row.paper}, {row.selection}" for row in (one, other)]
        runs.append(f"{method}: {whose[0] if whose[0] == whose[1] else f'FGVC {whose[0]}; VTAB {whose[1]}'}")
    return "\n".join([*lines, "", f"{one.source}, {one.table}. Runs and their selection: {'. '.join(runs)}.", ""])


def block(name: str) -> str:
    """The text of a block: ``published``, ``speed-NAME`` or ``counts`` (a table, or ``...-in-words``), or a file."""
    if name == "published":
        return claim()
    stem = name.removesuffix("-in-words")
    if not (RESULTS / f"{stem}.json").is_file():
        return (RESULTS / name).read_text()
    found, by = json.loads((RESULTS / f"{stem}.json").read_text()), counts if stem == "counts" else speed
    return (by.render(found) if stem == name else "\n".join(by.in_words(found))) + "\n"


def filled(text: str) -> str:
    """A document with its tables."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2])}{found[3]}", text)


def main() -> None:
    stale = [path for path in DOCUMENTS if filled(path.read_text()) != path.read_text()]
    if "--check" in sys.argv:
        sys.exit(f"python benchmarks/render.py mends {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
