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

from scipy.stats import ttest_rel

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


DIFFERENCES = (
    ("vpt", "linear"),
    ("spt", "linear"),
    ("spt", "vpt"),
    ("spt:prompt_rms=0.1", "vpt"),
    ("spt:prompt_rms=0.1", "spt"),
    ("full", "vpt"),
    ("spt:frozen_prompts=true", "vpt:frozen_prompts=true"),
)


def differences() -> str:
    """Differences of the mini benchmark's methods, paired by seed."""
    results = json.loads((RESULTS / "mini" / "table.json").read_text(encoding="utf-8"))["results"]
    tasks = {row["method"]: [task["test_accuracies"] for task in row["tasks"].values()] for row in results}
    means = {method: [statistics.mean(seed) for seed in zip(*rows)] for method, rows in tasks.items()}
    lines = ["| difference | points | 95 % interval |", "|---|---|---|"]
    for one, other in DIFFERENCES:
        low, high = ttest_rel(means[one], means[other]).confidence_interval()
        by_seed = [a - b for a, b in zip(means[one], means[other])]
        lines.append(f"| {one} - {other} | {statistics.mean(by_seed):+.1f} | {low:+.1f} to {high:+.1f} |")
    return "\n".join([*lines, ""])


def texts_of_classes() -> str:
    """What the texts of classes cost a step of CoOp, and an image of TPT."""
    rows = json.loads((RESULTS / "class-texts.json").read_text(encoding="utf-8"))["rows"]
    lines = ["| | classes | prompts | times faster | held for the backward pass, MiB: published | ours | apart |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        held = [f"{row['held_mib'][whose]:,.0f}" for whose in ("published", "ours")]
        apart = f"{row['feature_difference']:.0e} in features, {row['gradient_difference']:.0e} in gradients"
        lines.append(
            f"| a step of CoOp | {row['classes']:,} | {row['prompts']} | {row['faster']:.1f} | {' | '.join(held)} | "
            f"{apart} |"
        )
    tpt = json.loads((RESULTS / "test-time.json").read_text(encoding="utf-8"))
    what, peak = f"an image of TPT, {tpt['views']} views", f"the process's peak {tpt['our_peak_gib']:.1f} GiB"
    apart = f"{tpt['score_difference']:.0e} in scores"
    lines.append(f"| {what} | {tpt['classes']:,} | 4 | {tpt['faster']:.1f} | | {peak} | {apart} |")
    return "\n".join([*lines, ""])


def block(name: str) -> str:
    """The text of a block: ``published``, ``mini/differences``, ``class-texts``, ``speed-NAME``, ``counts``, a file.

    Of the two before the last there is a table, and ``...-in-words``.
    """
    if name == "published":
        return claim()
    if name == "mini/differences":
        return differences()
    if name == "class-texts":
        return texts_of_classes()
    stem = name.removesuffix("-in-words")
    if not (RESULTS / f"{stem}.json").is_file():
        return (RESULTS / name).read_text(encoding="utf-8")
    found = json.loads((RESULTS / f"{stem}.json").read_text(encoding="utf-8"))
    by = counts if stem == "counts" else speed
    return (by.render(found) if stem == name else "\n".join(by.in_words(found))) + "\n"


def filled(text: str) -> str:
    """A document with its tables."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2])}{found[3]}", text)


def main() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    stale = [path for path, text in texts.items() if filled(text) != text]
    if "--check" in sys.argv:
        sys.exit(f"python benchmarks/render.py mends {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        path.write_text(filled(texts[path]), encoding="utf-8")


if __name__ == "__main__":
    main()
