"""Start by recipe: do prototypes gain because of where they start, or because of how they are trained?

    python benchmarks/start_and_recipe.py --data mnist5k --backbone builtin --out DIR
    python benchmarks/start_and_recipe.py --data scenes/location --num-prompts 100 --class-token --out DIR

Two starts (uniform, prototypes) under two recipes, VPT's (SGD, its base rate times batch / 256) and SPT's (AdamW),
each for so many epochs of so many labelled images. Rates of prompts and head are searched apart on validation, from
the recipe's own, with as many trials for each cell; ``--one-rate`` searches one for both. Then each cell is run with
every seed, on train and validation images together, and tested once. Runs and journals stand in OUT/runs, and the
command resumes. The table has prototypes minus uniform, paired by seed, with Student's 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from scipy.stats import ttest_rel

from selfprompt.backbones.builtin import WEIGHTS
from selfprompt.comparison.compare import Comparison, compare, protocol_of
from selfprompt.comparison.workers import Workers
from selfprompt.files import replace_file
from selfprompt.methods import make_method
from selfprompt.reports.table import Column, markdown

STARTS = {"uniform": "vpt", "prototypes": "vpt:prototypes=random"}
RECIPES = {"VPT's": "vpt", "SPT's": "spt"}
KEPT = ("optimizer", "lr", "weight_decay", "head_weight_decay")


def recipe(name: str, epochs: int, batch: int, head: bool) -> dict[str, Any]:
    """A paper's recipe under MAE, for so many epochs of a batch."""
    own = make_method(RECIPES[name]).recipe_with("mae", {"batch_size": batch}).model_dump()
    found = {key: own[key] for key in KEPT} | {"epochs": epochs, "batch_size": batch}
    return found | ({"head_lr": own["lr"]} if head else {})


def reading_class_token(backbone: str, folder: Path) -> str:
    """A file with a small backbone's weights, whose own feature is the class token."""
    file = folder / "class-token.safetensors"
    path = WEIGHTS if backbone == "builtin" else Path(backbone)
    with safe_open(path, "pt") as weights:
        header = json.loads(weights.metadata()["selfprompt"])
        header["architecture"] |= {"global_pool": "token"}
        state = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 (it is no dictionary)
    replace_file(file, save(state, metadata={"selfprompt": json.dumps(header)}))
    return str(file)


def row_of(name: str, epochs: int, table: dict[str, Any]) -> dict[str, Any]:
    """The two starts of a recipe, and their difference."""
    found = {start: next(r for r in table["results"] if r["method"] == spec) for start, spec in STARTS.items()}
    one, other = (found[start]["test_accuracies"] for start in ("prototypes", "uniform"))
    row: dict[str, Any] = {"recipe": name, "epochs": epochs, "protocol": table["protocol"], "starts": found}
    row["difference"] = statistics.mean(a - b for a, b in zip(one, other))
    if len(one) > 1:
        row["interval"] = list(map(float, ttest_rel(one, other).confidence_interval()))
    return row


def write(out: Path, rows: list[dict[str, Any]]) -> None:
    """table.json and table.md."""

    def accuracy(start: str) -> Column:
        def text(row: dict[str, Any]) -> str:
            r = row["starts"][start]
            rates = f"{r['lr']:.2g}" + (f", head {r['head_lr']:.2g}" if "head_lr" in r else "")
            return f"{r['test_accuracy_mean']:.1f} ± {r['test_accuracy_std']:.1f} (lr {rates})"

        return Column(start, text)

    def difference(row: dict[str, Any]) -> str:
        low_high = " ({:+.1f} to {:+.1f})".format(*row["interval"]) if "interval" in row else ""
        return f"{row['difference']:+.1f}{low_high}"

    columns = [Column("recipe", lambda r: r["recipe"]), Column("epochs", lambda r: str(r["epochs"]))]
    columns += [*map(accuracy, STARTS), Column("prototypes - uniform", difference)]
    replace_file(out / "table.json", json.dumps(rows, indent=1) + "\n")
    replace_file(out / "table.md", markdown(columns, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist5k")
    parser.add_argument("--backbone", default="builtin")
    parser.add_argument("--num-prompts", type=int, default=20)
    parser.add_argument("--shallow", action="store_true")
    parser.add_argument("--frozen", action="store_true", help="train the head alone, on prompts as they start")
    parser.add_argument("--class-token", action="store_true", help="read the class token, not patches and prompts")
    parser.add_argument("--head-norm", choices=("none", "batch"), default="none")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", default=[3, 10, 30], type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--one-rate", action="store_true", help="one rate for prompts and head")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    backbone = reading_class_token(args.backbone, args.out) if args.class_token else args.backbone
    protocol = protocol_of(backbone, name="start and recipe", train_images=args.images, final="train+val")
    fields = {"readout": "backbone" if args.class_token else "mae_average", "head_norm": args.head_norm}
    fields |= {"num_prompts": args.num_prompts, "shallow": args.shallow, "frozen_prompts": args.frozen}
    rows = []
    for epochs in args.epochs:
        for name in RECIPES:
            comparison = Comparison(
                data=args.data,
                backbone=backbone,
                protocol=protocol,
                recipe=recipe(name, epochs, args.batch, not args.one_rate),
                fields=fields,
                trials=args.trials,
            )
            folder = args.out / "runs" / f"{RECIPES[name]}-{epochs}"
            table = compare(comparison, list(STARTS.values()), folder, seeds=args.seeds, workers=Workers(args.jobs))
            rows.append(row_of(name, epochs, table))
            write(args.out, rows)
            print((args.out / "table.md").read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
