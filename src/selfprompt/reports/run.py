"""The page of one run: what was run, how well it does, what it looks at, and what its prompts became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selfprompt.data.tables import Kind
from selfprompt.files import read_text
from selfprompt.methods import record_of
from selfprompt.reports import figures, pictures
from selfprompt.reports.data import data_section
from selfprompt.reports.page import Section, write_page
from selfprompt.reports.scores import scores_section, worth_section
from selfprompt.reports.words import looks_section, mistakes_table, words_section
from selfprompt.runs.config import read_run
from selfprompt.runs.record import (
    MISTAKES,
    PROMPTS,
    Analysis,
    Patch,
    PromptAnalysis,
    Shown,
    TextAnalysis,
    read_analysis,
)
from selfprompt.scores.asked import WORDS, Metric
from selfprompt.tuning.records import Tested, choice, epoch_kept, read_history, read_metrics, score_of

NAMED_CLASSES = 30
Thumbnails = Mapping[Shown, Image.Image]


def run_page(folder: Path) -> Path:
    """Write the report of the finished run in a folder, from what the run left there.

    Raises:
        UserError: A file is missing or damaged.
    """
    config, metrics = read_run(folder).model_dump(mode="json"), read_metrics(folder, Tested)
    if "map" in metrics.get("scores", {}):  # which run.json, written before the data are read, does not know
        config["protocol"] |= {"multi_label": True, "metric": "map"}
    found, thumbnails = read_analysis(folder)
    record = record_of(metrics["method"])
    sections = [
        again(folder),
        learning(read_history(folder, metrics), metrics.get("metric")),
        None if "map" in metrics.get("scores", {}) else mistakes(found, thumbnails),
    ]
    if "worth" in metrics:
        sections.insert(1, worth_section(metrics["worth"], choice(metrics)))
    if "scores" in metrics:
        sections.append(scores_section(metrics["scores"], metrics, found.inputs))
    if found.data:
        sections.append(data_section(found.data, found.inputs))
    if found.looks:
        sections.append(overlays(found, thumbnails))
    if found.word_looks:
        sections.append(looks_section(found.word_looks, found.classes))
    if found.words:
        sections.append(words_section(found.words))
    if found.prompts:
        sections += prompt_sections(found.prompts, found.grid, thumbnails)
    if found.texts:
        sections.append(texts_section(found.texts, found.classes))
    sections += [details(config, metrics)]
    return write_page(
        folder,
        f"{metrics['method']} on {metrics['dataset']}",
        f"{record.idea} {record.source}.",
        [section for section in sections if section],
        tiles(metrics, folder, found.inputs),
    )


def tiles(metrics: Tested, folder: Path, inputs: Kind) -> list[tuple[str, str, str]]:
    """The numbers that stand first."""
    tested = f"{metrics['test_images']:,} {inputs}s, {metrics['precision']}"
    scores = metrics.get("scores", {})
    if "accuracy_interval" in scores:
        tested += "; 95 % interval {:.1f} to {:.1f} %".format(*scores["accuracy_interval"])
    if "map" in scores:
        tested += "; all labels of each right"
    found = [("test accuracy", f"{metrics['test_accuracy']:.1f} %", tested)]
    if metric := metrics.get("metric"):
        found.insert(0, (f"test {WORDS[metric]}", f"{score_of(metrics):.1f} %", "selects the epoch"))
    probe, instead = metrics.get("linear_probe_test_accuracy"), metrics.get("instead_of")
    if instead:
        found.append((f"prompts of {instead['method']}", f"{instead['test_accuracy']:.1f} %", "which are not kept"))
    elif probe is not None:
        found.append(("linear probe", f"{probe:.1f} %", "on the same frozen features"))
    if "new_classes" in metrics:
        new = metrics["new_classes"]
        beside = (
            f"zero-shot {new['zero_shot_accuracy']:.1f} %; with its own, harmonic mean {new['harmonic_mean']:.1f} %"
        )
        found.append(("classes it never saw", f"{new['accuracy']:.1f} %", beside))
    waiting = 100 * metrics["waiting_share"]
    share = 100 * metrics["trainable_parameters"] / metrics["total_parameters"]
    size = (folder / "adapter_model.safetensors").stat().st_size
    return [
        *found,
        ("trained", f"{metrics['trainable_parameters']:,}", f"{share:.2f} % of the parameters"),
        ("adapter", f"{size / 1000:,.0f} kB", "a head" if instead else "prompts and head"),
        (
            "time",
            f"{metrics['seconds']:,.0f} s",
            f"{waiting:.1f} % of it waiting for {inputs}s",
        ),
        ("peak memory", f"{metrics['peak_memory_bytes'] / 2**20:,.0f} MiB", metrics["precision"]),
    ]


def again(folder: Path) -> Section | None:
    """How to run it again."""
    path = folder / "command.txt"
    if not path.exists():
        return None
    words = "The same seed on the same machine gives the same numbers."
    return Section("Run it again", words, code=read_text(path, "remove it").strip())


def learning(history: list[dict[str, float]], metric: Metric | None) -> Section:
    """Learning curves."""
    epochs = [row["epoch"] for row in history]
    losses = {"training": [row["train_loss"] for row in history]}
    plots = []
    if all("val_loss" in row for row in history):
        losses["validation"] = [row["val_loss"] for row in history]
        accuracy = {"validation": [row["val_accuracy"] for row in history]}
        plots.append((figures.curves(epochs, accuracy, "epoch", "validation accuracy, %"), ""))
        if metric and f"val_{metric}" in history[0]:
            scores = {"validation": [row[f"val_{metric}"] for row in history]}
            plots.append((figures.curves(epochs, scores, "epoch", f"validation {WORDS[metric]}, %"), ""))
    return Section("Learning curves", plots=[(figures.curves(epochs, losses, "epoch", "loss"), ""), *plots])


def mistakes(found: Analysis, thumbnails: Thumbnails) -> Section:
    """The confusion matrix, and the mistakes that the model was surest of."""
    names, text = found.classes, found.inputs == "text"
    matrix = np.zeros((len(names), len(names)), dtype=int)
    for label, predicted, images in found.confusion:
        matrix[label, predicted] = images
    worst = surest_mistakes(found, thumbnails)
    plots: list[tuple[Any, str]] = []
    table: Sequence[Sequence[Any]] = []
    wrong = matrix * (1 - np.eye(len(names), dtype=int))
    if len(names) <= NAMED_CLASSES:
        plots.append((figures.confusion(matrix, names), ""))
    else:
        pairs = sorted(np.argwhere(wrong > 0).tolist(), key=lambda pair: -wrong[tuple(pair)])[:MISTAKES]
        table = [(names[i], names[j], int(wrong[i, j])) for i, j in pairs]
    words = f"{wrong.sum():,} of {matrix.sum():,} test {found.inputs}s are answered wrongly."
    galleries = [("The surest mistakes: predicted for true, and the image", worst)] if worst else []
    head: Sequence[Any] = ("true", "predicted", "images") if table else ()
    if text:
        words += " The surest mistakes:" if found.mistakes else ""
        head, table = mistakes_table(found) if found.mistakes else ((), [])
    return Section("Mistakes", words, plots=plots, galleries=galleries, head=head, rows=table)


def surest_mistakes(found: Analysis, thumbnails: Thumbnails) -> list[tuple[str, str]]:
    """The images that the model was surest of and wrong, each with what it said; of texts there are none."""
    names, shown = found.classes, () if found.inputs == "text" else found.mistakes
    return [
        (
            pictures.source(thumbnails["test", one.image]),
            f"{names[one.predicted]} ({100 * one.probability:.0f} %) for {names[one.label]}, {one.name}",
        )
        for one in shown
    ]


def overlays(found: Analysis, thumbnails: Thumbnails) -> Section:
    """What decisions rest on."""
    shown = [(thumbnails["test", look.image], look) for look in found.looks]

    def under(maps: list[tuple[Image.Image, list[float]]]) -> list[tuple[str, str]]:
        return [(pictures.source(pictures.overlaid(image, np.array(values))), "") for image, values in maps]

    galleries = [("Images", [(pictures.source(image), found.classes[look.predicted]) for image, look in shown])]
    galleries.append(("What the answer rests on", under([(image, look.relevance) for image, look in shown])))
    if attended := [(image, look.attention) for image, look in shown if look.attention is not None]:
        title = "Where the class token looks in the last block" if found.class_token else "Last attention"
        galleries.append((title, under(attended)))
    words = (
        "Test images with the predicted class. Attention weighted by its gradient and followed through all blocks "
        "(Chefer et al., arXiv 2103.15679), and the last block's bare attention, which says less: bright is much."
    )
    return Section("What it looks at", words, galleries=galleries)


def prompt_origins(found: PromptAnalysis, grid: int, thumbnails: Thumbnails) -> Section:
    """The patches that prompts started from, and those nearest to what they became."""

    def shot(patch: Patch) -> str:
        return pictures.source(pictures.marked(thumbnails["train", patch.image], patch.row, patch.column, grid))

    galleries = []
    for layer, own in found.pictured.items():
        if starts := [(shot(row.source), f"prompt {row.prompt + 1}") for row in own if row.source]:
            galleries.append((f"Block {layer + 1}: the patch that each prompt started from", starts))
        nearest = [(shot(near), f"cosine {near.similarity:.2f}") for row in own for near in row.nearest[:1]]
        galleries.append((f"Block {layer + 1}: the patch nearest to each trained prompt", nearest))
    words = f"The first {PROMPTS} prompts of some blocks, in training images; the frame marks the patch."
    return Section("Where prompts come from", words, galleries=galleries)


def prompt_sections(found: PromptAnalysis, grid: int, thumbnails: Thumbnails) -> list[Section]:
    """Where prompts came from, what they share with patches, how far they moved and what they are worth."""
    sections = [prompt_origins(found, grid, thumbnails)]
    blocks, layers = [str(row.layer + 1) for row in found.layers], sorted({row.layer for row in found.prompts})
    plots = []
    if len(found.training) > 1:
        epochs = [row.epoch for row in found.training]
        shared = {f"block {layer + 1}": [row.mutual_information[layer] for row in found.training] for layer in layers}
        caption = "0 is the start"
        plots.append((figures.curves(epochs, shared, "epoch", "mutual information with patches"), caption))
    else:
        values = [row.mutual_information for row in found.layers if row.mutual_information is not None]
        plots.append((figures.bars(blocks[: len(values)], values, "block", "mutual information"), ""))
    attended = [100 * row.attention_to_prompts for row in found.layers]
    caption = "all prompts of a block together"
    plots.append((figures.bars(blocks, attended, "block", "the class token's attention to prompts, %"), caption))
    for name, what, caption in (
        ("moved", "distance moved", "from the start, over the start's length"),
        ("saliency", "worth", "change of the loss without it, to first order (Prompt Condensation's score)"),
    ):
        if getattr(found.prompts[0], name) is not None:
            matrix = np.array([[getattr(row, name) for row in found.prompts if row.layer == i] for i in layers])
            plots.append((figures.heat(matrix, "prompt", "block", what), caption))
    words = (
        "Normalised mutual information between prompts and the patch tokens of validation images, both after the "
        "norm through which the block's attention sees them; the estimator is ours. "
        f"{found.images} images were looked at."
    )
    return [*sections, Section("What prompts became", words, plots=plots)]


def texts_section(found: TextAnalysis, names: list[str]) -> Section:
    """How alike the classes' texts are, and what stands among their words."""
    cosines = np.array(found.similarity)
    apart = np.triu_indices(len(names), 1)
    words = "An image is of the class whose text is nearest."
    if len(names) > 1:
        i, j = (int(place[cosines[apart].argmax()]) for place in apart)
        words += f" The most alike are {names[i]} and {names[j]}: their texts' cosine is {cosines[i, j]:.2f}."
    matrix = figures.heat(cosines, "class", "class", "cosine of the texts", names)
    plots = [(matrix, "classes in the order of the data set")]
    rows = [
        (f"prompt {i + 1}", *(f"{near.word} ({near.distance:.2f})" for near in own))
        for i, own in enumerate(found.nearest or ())
    ]
    head = ("", "nearest word (distance)", "second", "third") if rows else ()
    if rows:
        words += " Prompts are no words: the nearest ones are a hint at most."
    return Section("What the classes' texts say", words, plots=plots, head=head, rows=rows)


def details(config: dict[str, Any], metrics: Tested) -> Section:
    """Everything that decided the numbers."""
    rows = [
        ("data", config["data"]),
        *([("prompts trained first on", config["first"])] if config.get("first") else []),
        ("backbone", config["backbone"]),
        ("method", said(config["method"])),
        ("recipe", said(config["recipe"])),
        (f"protocol {metrics['protocol']}", said(config["protocol"])),
        ("seed", config["seed"]),
        ("epoch kept", epoch_kept(metrics) if metrics["best_epoch"] else choice(metrics) or 0),
        ("processes", metrics["processes"]),
    ]
    return Section("Settings", "run.json holds them for a program.", rows=rows)


def said(fields: dict[str, Any]) -> str:
    """Fields in one line."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in fields.items() if value is not None)
