"""The analysis of a run: what its page shows and a model must be asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfprompt.analysis import attention, relevance
from selfprompt.analysis.adapter import look_into
from selfprompt.analysis.effective import has_prompts
from selfprompt.analysis.texts import look_at_texts
from selfprompt.analysis.word_relevance import word_relevance
from selfprompt.analysis.words import look_at_words
from selfprompt.assembly import load
from selfprompt.data.batches import Decoded, in_order
from selfprompt.data.checks.findings import Findings
from selfprompt.data.recorded import image_names, splits_for
from selfprompt.data.sources import load_located
from selfprompt.inputs import Text, images_of, move
from selfprompt.model import PromptedModel
from selfprompt.runs import record
from selfprompt.runs.config import NAME, read_run
from selfprompt.runs.record import (
    Analysis,
    Look,
    Mistake,
    PromptAnalysis,
    TextAnalysis,
    WordLook,
    Words,
    thumbnail,
    write_analysis,
)
from selfprompt.tuning.records import METRICS, PREDICTIONS, Metrics, read_metrics, read_predictions

logger = logging.getLogger("selfprompt")


def analyse_run(
    folder: Path,
    model: PromptedModel,
    classes: Sequence[str],
    train: Decoded,
    val: Decoded,
    test: Decoded,
    names: Sequence[str],
    predicted: Tensor,
    probability: Tensor,
    data: Findings | None = None,
) -> None:
    """Write analysis.json, and for images thumbnails.png.

    Args:
        folder: The run's.
        model: Trained.
        classes: Their names.
        train, val, test: Its images.
        names: Of the test images.
        predicted, probability: (N,) each, of the test images.
        data: What a look at all of them found.
    """
    if model.protocol.inputs == "text":
        record_words(folder, model, classes, train, test, names, predicted, probability, data)
        return
    prompts = look_into(model, train, val, run=folder) if has_prompts(model) else None
    texts = look_at_texts(model)
    found = Analysis(
        classes=list(classes),
        **told_by(test.labels, predicted, probability, names),
        looks=looks(model, test, predicted),
        class_token=model.backbone.num_prefix > 0,
        grid=round(model.backbone.num_patches**0.5),
        prompts=None if prompts is None else PromptAnalysis.model_validate(prompts),
        texts=None if texts is None else TextAnalysis.model_validate(texts),
        data=data,
    )

    def pixels(split: str, image: int) -> np.ndarray:
        part, place = (test, image) if split == "test" else (train, image)
        if split == "train" and image >= len(train):
            part, place = val, image - len(train)
        return images_of(part.get(np.array([place]), epoch=None))[0].numpy()

    write_analysis(folder, found, {shown: thumbnail(pixels(*shown)) for shown in found.shown})


def record_words(
    folder: Path,
    model: PromptedModel,
    classes: Sequence[str],
    train: Decoded,
    test: Decoded,
    names: Sequence[str],
    predicted: Tensor,
    probability: Tensor,
    data: Findings | None,
) -> None:
    """`analyse_run`, of texts."""
    found = Analysis(
        classes=list(classes),
        **told_by(test.labels, predicted, probability, names),
        inputs="text",
        words=[Words.model_validate(row) for row in look_at_words(model, train)],
        word_looks=word_looks(model, test, predicted),
        data=data,
    )
    write_analysis(folder, found, {})


def catch_up(folder: Path) -> None:
    """Make the analysis of a finished run that has none: one of an older version, or of a comparison.

    Raises:
        UserError: The adapter, its backbone or its data are not available, or a file is damaged.
    """
    if not all((folder / name).is_file() for name in (NAME, METRICS)) or (folder / record.NAME).is_file():
        return
    if read_metrics(folder, Metrics)["test_accuracy"] is None:
        return
    logger.warning("The run in %s has no %s: it is made now, from its data and backbone.", folder, record.NAME)
    model = load(folder)
    dataset = load_located(read_run(folder).data, model.protocol.inputs)
    splits = splits_for(dataset, model.protocol, folder)
    train, val, test = (Decoded(part, model.protocol, keep=False) for part in (splits.train, splits.val, splits.test))
    names = image_names(splits, "test")
    if (folder / PREDICTIONS).exists() and not model.multi_label:
        rows = read_predictions(folder, splits.class_names, splits.test.known_labels.tolist())
        names = [row[0] for row in rows]
        predicted = torch.tensor([splits.class_names.index(row[2]) for row in rows])
        probability = torch.tensor([row[3] for row in rows])
    else:
        batches = test.batches(in_order(len(test), 64))
        with torch.no_grad():
            logits = torch.cat([model(model.normalize(batch.inputs)).float() for batch in batches])
        probability, predicted = model.probabilities(logits).max(dim=-1)
    analyse_run(folder, model, splits.class_names, train, val, test, names, predicted, probability)


def told_by(labels: Tensor, predicted: Tensor, probability: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Confusion and mistakes; nothing where examples may have several labels, which are not confused."""
    if labels.ndim == 2:
        return {"confusion": [], "mistakes": []}
    return {
        "confusion": confusion(labels, predicted),
        "mistakes": mistakes(labels, predicted, probability, names),
    }


def confusion(labels: Tensor, predicted: Tensor) -> list[tuple[int, int, int]]:
    """(true class, predicted class, images), where there are any."""
    pairs, counts = torch.stack([labels, predicted.long()]).unique(dim=1, return_counts=True)
    return [(true, guess, count) for (true, guess), count in zip(pairs.T.tolist(), counts.tolist())]


def mistakes(labels: Tensor, predicted: Tensor, probability: Tensor, names: Sequence[str]) -> list[Mistake]:
    """The wrong answers that the model was surest of."""
    wrong = (predicted != labels).nonzero()[:, 0]
    wrong = wrong[probability[wrong].argsort(descending=True, stable=True)][: record.MISTAKES]
    return [
        Mistake(
            image=i,
            name=names[i],
            label=int(labels[i]),
            predicted=int(predicted[i]),
            probability=float(probability[i]),
        )
        for i in map(int, wrong)
    ]


def spread(test: Decoded) -> np.ndarray:
    """The places of some test images or texts, evenly."""
    return np.linspace(0, len(test) - 1, min(record.LOOKS, len(test))).round().astype(int)


def word_looks(model: PromptedModel, test: Decoded, predicted: Tensor) -> list[WordLook]:
    """What the answers for some test texts rest on."""
    shown, device = spread(test), next(model.parameters()).device
    texts = move(model.backbone.as_input(test.get(shown), model.normalize), device)
    assert isinstance(texts, Text)
    classes = predicted[torch.from_numpy(shown)].long()
    found = word_relevance(model, texts, classes.to(device))
    return [
        WordLook(image=image, predicted=guess, **own)
        for image, guess, own in zip(shown.tolist(), classes.tolist(), found)
    ]


def looks(model: PromptedModel, test: Decoded, predicted: Tensor) -> list[Look]:
    """What the answers for some test images rest on."""
    shown = spread(test)
    device = next(model.parameters()).device
    batch = images_of(model.normalize(move(test.get(shown), device)))
    classes = predicted[torch.from_numpy(shown)].long()
    rests = relevance(model, batch, classes.to(device)).tolist()
    last = attention(model, batch).to_patches[-1].tolist() if has_prompts(model) else [None] * len(shown)
    return [
        Look(image=image, predicted=guess, relevance=rest, attention=seen)
        for image, guess, rest, seen in zip(shown.tolist(), classes.tolist(), rests, last)
    ]
