"""The page of one run: what was run, how well it does, what it looks at, and what its prompts became."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from selfprompt.analysis import analyse, attention, relevance
from selfprompt.analysis.adapter import Patch
from selfprompt.data.datasets import Examples, Splits
from selfprompt.data.recorded import splits_for
from selfprompt.data.sources import load_located
from selfprompt.files import read_text
from selfprompt.inputs import images_of
from selfprompt.methods import record_of
from selfprompt.model import PromptedModel, load
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.reports import figures, pictures
from selfprompt.reports.page import Section, write_page
from selfprompt.runs.config import read_run
from selfprompt.tuning.records import PREDICTIONS, Tested, read_history, read_metrics, read_predictions

MISTAKES, OVERLAYS, SHOWN = 9, 9, 9
NAMED_CLASSES = 30


def run_page(folder: Path) -> Path:
    """Write the report of the finished run in a folder.

    Raises:
        UserError: The adapter, its backbone or its data are no longer to be had.
    """
    config, metrics = read_run(folder).model_dump(mode="json"), read_metrics(folder, Tested)
    history = read_history(folder, metrics)
    model, dataset = load(folder), load_located(config["data"])
    splits = splits_for(dataset, model.protocol, folder)
    record = record_of(config["method"]["name"])
    sections = [
        again(folder),
        learning(history),
        mistakes(folder, splits, list(dataset.class_names), model),
        overlays(splits, list(dataset.class_names), model),
    ]
    if isinstance(model.insertion, PromptInsertion) and model.insertion.num_prompts:
        sections += prompt_sections(folder, splits, model)
    sections += [details(config, metrics)]
    return write_page(
        folder,
        f"{metrics['method']} on {metrics['dataset']}",
        f"{record.idea} {record.source}.",
        [section for section in sections if section],
        tiles(metrics, folder),
    )


def tiles(metrics: Tested, folder: Path) -> list[tuple[str, str, str]]:
    """The numbers that stand first."""
    tested = f"{metrics['test_images']:,} images, {metrics['precision']}"
    found = [("test accuracy", f"{metrics['test_accuracy']:.1f} %", tested)]
    if (probe := metrics.get("linear_probe_test_accuracy")) is not None:
        found.append(("linear probe", f"{probe:.1f} %", "on the same frozen features"))
    share = 100 * metrics["trainable_parameters"] / metrics["total_parameters"]
    size = (folder / "adapter_model.safetensors").stat().st_size
    return [
        *found,
        ("trained", f"{metrics['trainable_parameters']:,}", f"{share:.2f} % of the parameters"),
        ("adapter", f"{size / 1000:,.0f} kB", "prompts and head"),
        ("time", f"{metrics['seconds']:,.0f} s", f"{100 * metrics['waiting_share']:.1f} % of it waiting for images"),
        ("peak memory", f"{metrics['peak_memory_bytes'] / 2**20:,.0f} MiB", metrics["precision"]),
    ]


def again(folder: Path) -> Section | None:
    """How to run it again."""
    path = folder / "command.txt"
    if not path.exists():
        return None
    words = "The same seed on the same machine gives the same numbers."
    return Section("Run it again", words, code=read_text(path, "remove it").strip())


def learning(history: list[dict[str, float]]) -> Section:
    """Learning curves."""
    epochs = [row["epoch"] for row in history]
    losses = {"training": [row["train_loss"] for row in history]}
    plots = []
    if all("val_loss" in row for row in history):
        losses["validation"] = [row["val_loss"] for row in history]
        accuracy = {"validation": [row["val_accuracy"] for row in history]}
        plots.append((figures.curves(epochs, accuracy, "epoch", "validation accuracy, %"), ""))
    return Section("Learning curves", plots=[(figures.curves(epochs, losses, "epoch", "loss"), ""), *plots])


def mistakes(folder: Path, splits: Splits, names: list[str], model: PromptedModel) -> Section | None:
    """The confusion matrix, and the mistakes that the model was surest of."""
    if not (folder / PREDICTIONS).exists():
        return None
    rows = read_predictions(folder, names, splits.test.labels.tolist())
    index = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), dtype=int)
    for _, label, predicted, _ in rows:
        matrix[index[label], index[predicted]] += 1
    wrong = [(i, row) for i, row in enumerate(rows) if row[1] != row[2]]
    wrong.sort(key=lambda found: -found[1][3])
    worst = [
        (
            pictures.source(pictures.picture(pixels(splits.test, i, model))),
            f"{predicted} ({100 * probability:.0f} %) for {label}, {image}",
        )
        for i, (image, label, predicted, probability) in wrong[:MISTAKES]
    ]
    plots, table = [], []
    if len(names) <= NAMED_CLASSES:
        plots.append((figures.confusion(matrix, names), ""))
    else:
        pairs = np.argwhere(matrix * (1 - np.eye(len(names), dtype=int)) > 0)
        pairs = sorted(pairs.tolist(), key=lambda pair: -matrix[tuple(pair)])[:MISTAKES]
        table = [(names[i], names[j], int(matrix[i, j])) for i, j in pairs]
    words = f"{len(wrong):,} of {len(rows):,} test images are answered wrongly."
    galleries = [("The surest mistakes: predicted for true, and the image", worst)] if worst else []
    head = ("true", "predicted", "images") if table else ()
    return Section("Mistakes", words, plots=plots, galleries=galleries, head=head, rows=table)


def overlays(splits: Splits, names: list[str], model: PromptedModel) -> Section:
    """What decisions rest on."""
    shown = np.linspace(0, len(splits.test) - 1, min(OVERLAYS, len(splits.test))).round().astype(int)
    images = np.stack([pixels(splits.test, int(i), model) for i in shown])
    batch = images_of(model.normalize(torch.from_numpy(images)))
    with torch.no_grad():
        predicted = model.eval()(batch).argmax(dim=-1)
    rests = relevance(model, batch, predicted).numpy()
    galleries = [("Images", [(pictures.source(pictures.picture(x)), names[i]) for x, i in zip(images, predicted)])]
    galleries.append(
        ("What the answer rests on", [(pictures.source(pictures.overlaid(x, w)), "") for x, w in zip(images, rests)])
    )
    if isinstance(model.insertion, PromptInsertion) and model.insertion.num_prompts:
        looks = attention(model, batch).to_patches[-1].numpy()
        title = "Where the class token looks in the last block" if model.backbone.num_prefix else "Last attention"
        galleries.append((title, [(pictures.source(pictures.overlaid(x, w)), "") for x, w in zip(images, looks)]))
    words = (
        "Test images with the predicted class. Attention weighted by its gradient and followed through all blocks "
        "(Chefer et al., arXiv 2103.15679), and the last block's bare attention, which says less: bright is much."
    )
    return Section("What it looks at", words, galleries=galleries)


def prompt_sections(folder: Path, splits: Splits, model: PromptedModel) -> list[Section]:
    """Where prompts came from, what they share with patches, how far they moved and what they are worth."""
    found = analyse(model, splits, run=folder)
    pool, patches = splits.train + splits.val, round(model.backbone.num_patches**0.5)
    rows, layers = found["prompts"], sorted({row["layer"] for row in found["prompts"]})

    def shot(place: Patch) -> str:
        image = pixels(pool, place["image"], model)
        return pictures.source(pictures.marked(image, place["row"], place["column"], patches))

    galleries = []
    for layer in sorted({layers[0], layers[len(layers) // 2], layers[-1]}):
        own = [row for row in rows if row["layer"] == layer][:SHOWN]
        starts = [(shot(row["source"]), f"prompt {row['prompt'] + 1}") for row in own if "source" in row]
        if starts:
            galleries.append((f"Block {layer + 1}: the patch that each prompt started from", starts))
        nearest = [(shot(row["nearest"][0]), f"cosine {row['nearest'][0]['similarity']:.2f}") for row in own]
        galleries.append((f"Block {layer + 1}: the patch nearest to each trained prompt", nearest))
    words = f"The first {SHOWN} prompts of some blocks, in training images; the frame marks the patch."
    sections = [Section("Where prompts come from", words, galleries=galleries)]

    blocks = [str(row["layer"] + 1) for row in found["layers"]]
    plots = []
    if len(found["training"]) > 1:
        epochs = [row["epoch"] for row in found["training"]]
        shared = {
            f"block {layer + 1}": [row["mutual_information"][layer] for row in found["training"]] for layer in layers
        }
        caption = "0 is the start"
        plots.append((figures.curves(epochs, shared, "epoch", "mutual information with patches"), caption))
    else:
        with_own = [row for row in found["layers"] if "mutual_information" in row]
        values = [row["mutual_information"] for row in with_own]
        plots.append((figures.bars(blocks[: len(values)], values, "block", "mutual information"), ""))
    attended = [100 * row["attention_to_prompts"] for row in found["layers"]]
    caption = "all prompts of a block together"
    plots.append((figures.bars(blocks, attended, "block", "the class token's attention to prompts, %"), caption))
    for name, what, caption in (
        ("moved", "distance moved", "from the start, over the start's length"),
        ("saliency", "worth", "change of the loss without it, to first order (Prompt Condensation's score)"),
    ):
        if name in rows[0]:
            matrix = np.array([[row[name] for row in rows if row["layer"] == layer] for layer in layers])
            plots.append((figures.heat(matrix, "prompt", "block", what), caption))
    words = (
        "Normalised mutual information between prompts and the patch tokens of validation images, both after the "
        "norm through which the block's attention sees them; the estimator is ours. "
        f"{found['images']} images were looked at."
    )
    return [*sections, Section("What prompts became", words, plots=plots)]


def details(config: dict[str, Any], metrics: Tested) -> Section:
    """Everything that decided the numbers."""
    rows = [
        ("data", config["data"]),
        ("backbone", config["backbone"]),
        ("method", said(config["method"])),
        ("recipe", said(config["recipe"])),
        (f"protocol {metrics['protocol']}", said(config["protocol"])),
        ("seed", config["seed"]),
        ("epoch kept", metrics["best_epoch"]),
        ("processes", metrics["processes"]),
    ]
    return Section("Settings", "run.json holds them for a program.", rows=rows)


def said(fields: dict[str, Any]) -> str:
    """Fields in one line."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in fields.items() if value is not None)


def pixels(examples: Examples, index: int, model: PromptedModel) -> np.ndarray:
    """One image as the model sees it, (3, S, S) uint8."""
    return model.protocol.view().read(examples.images[index])
