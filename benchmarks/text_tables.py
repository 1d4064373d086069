"""What `bench mini-text` measured: arms, what all labels give, and which published effects appear, with intervals.

    selfprompt bench mini-text --seeds 5 --out benchmarks/results/mini-text/k32
    selfprompt bench mini-text --preset k8 --seeds 5 --out benchmarks/results/mini-text/k8
    python benchmarks/text_tables.py benchmarks/results/mini-text

A difference is the mean over tasks, each the mean over seeds, paired, with Student's 95 % interval over tasks. Two
tasks of one dictionary are not independent: the interval says nothing of other texts.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import selfprompt as sp
from few_shot_tables import difference, mean_of, results, spread, write
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.comparison.suites import SCALED, SHARED, SUITES
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import with_splits
from selfprompt.data.protocol import TextProtocol
from selfprompt.data.sources import load_dataset
from selfprompt.runs.probe import probe_accuracy

RANDOM, VOCABULARY, WORDS = (f"prompt-tuning:start_from={start}" for start in ("random", "vocabulary", "labels"))
PPT, SHUFFLED = (f"ppt:start={name}" for name in ("keywords", "shuffled"))
META, MIXED, UNSORTED = (f"metapt:start={name}" for name in ("meta", "mixed", "unsorted"))
LABELS = {
    "linear": "head only",
    "full": "full fine-tuning",
    "prefix": "prefix, linear head",
    RANDOM: "prompt tuning, random start",
    f"{RANDOM}:{SCALED}": "the same, of the vocabulary's scale",
    VOCABULARY: "prompt tuning, words of the vocabulary",
    WORDS: "prompt tuning, label words",
    PPT: "PPT",
    f"{PPT}:{SCALED}": "PPT, of the vocabulary's scale",
    SHUFFLED: "PPT on shuffled keywords",
    META: "MetaPT",
    MIXED: "the same tasks, mixed",
    UNSORTED: "MetaPT on random groups",
    SHARED: "shared prompts, linear head",
    "ipt": "IPT, linear head",
    "lora:rank=7": "LoRA of IPT's size",
}
EFFECTS = (
    ("prompts are below full fine-tuning with few examples (PPT's premise)", WORDS, "full"),
    ("words are a better start than random numbers", VOCABULARY, RANDOM),
    ("so they are at one scale", VOCABULARY, f"{RANDOM}:{SCALED}"),
    ("label words are better than other words", WORDS, VOCABULARY),
    ("PPT is above the start that it had", PPT, VOCABULARY),
    ("so it is at one scale", f"{PPT}:{SCALED}", VOCABULARY),
    ("PPT is above label words", PPT, WORDS),
    ("PPT is above shuffled keywords", PPT, SHUFFLED),
    ("MetaPT is above PPT", META, PPT),
    ("MetaPT is above mixing", META, MIXED),
    ("MetaPT is above random groups", META, UNSORTED),
    ("IPT is above shared prompts", "ipt", SHARED),
    ("IPT is above LoRA of its size", "ipt", "lora:rank=7"),
    ("IPT is above the head alone", "ipt", "linear"),
    ("prefixes are above prompts among words", "prefix", SHARED),
)


def main() -> None:
    folder = Path(sys.argv[1])
    found = {preset: results(folder / preset / "table.json") for preset in SUITES["mini-text"]}
    found = {preset: rows for preset, rows in found.items() if rows}
    lines = [f"| arm | {' | '.join(found)} | trained numbers |", "|---" * (2 + len(found)) + "|"]
    for name, label in LABELS.items():
        if all(name in rows for rows in found.values()):
            told = [spread(rows[name], "base") for rows in found.values()]
            count = next(iter(found.values()))[name]["trainable_parameters"]
            lines.append(f"| {label} | {' | '.join(told)} | {count:,} |")
    write(folder / "arms.md", lines)
    lines = ["| claim | shots | difference, points (95 % interval) | tasks above | spread over seeds |"]
    lines += ["|---|---|---|---|---|"]
    for claim, one, other in EFFECTS:
        for preset, rows in found.items():
            if one in rows and other in rows:
                pairs = [(mean_of(rows[one], d, "base"), mean_of(rows[other], d, "base")) for d in rows[one]["tasks"]]
                spreads = [
                    statistics.mean(t["test_accuracy_std"] for t in rows[n]["tasks"].values()) for n in (one, other)
                ]
                lines.append(f"| {claim} | {preset} | {difference(pairs)} | {spreads[0]:.1f}, {spreads[1]:.1f} |")
    write(folder / "effects.md", lines)
    lines = ["| task | classes | test | linear probe, 150 texts of each class |", "|---|---|---|---|"]
    backbone = load_backbone("builtin-text")
    assert isinstance(backbone, TextBackbone)
    protocol = TextProtocol().read_by(backbone, None)
    for data in (d for group in SUITES["mini-text"]["k32"].groups.values() for d in group):
        dataset = load_dataset(data)
        splits = with_splits(dataset, TextProtocol())
        model = sp.create_model(backbone, "linear", num_classes=dataset.num_classes)
        parts = (splits.train, splits.val, splits.test)
        accuracy = probe_accuracy(model, *(Decoded(part, protocol) for part in parts))
        names = ", ".join(dataset.class_names)
        lines.append(f"| {data.partition('/')[2]} | {names} | {len(splits.test)} | {accuracy:.1f} |")
    write(folder / "tasks-probe.md", lines)


if __name__ == "__main__":
    main()
