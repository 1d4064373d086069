"""Everything that can be said of one adapter's prompts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from selfprompt.analysis.attention import attention
from selfprompt.analysis.effective import effective_prompts, prompted
from selfprompt.analysis.information import mutual_information
from selfprompt.analysis.neighbours import nearest_patches
from selfprompt.analysis.worth import leave_one_out, saliency
from selfprompt.data.datasets import Splits
from selfprompt.data.loading import ImageTensors, in_order
from selfprompt.errors import UserError, first_line
from selfprompt.model import PromptedModel

SNAPSHOTS = "prompts"


def analyse(
    model: PromptedModel, splits: Splits, *, run: Path | None = None, images: int = 64, leave_out: bool = False
) -> dict[str, Any]:
    """What the prompts share with patches, where they came from, how far they moved, and what they are worth.

    Args:
        model: A loaded adapter.
        splits: The data it was trained on, cut as in training.
        run: The folder of its training run, for its snapshots; None leaves out what needs them.
        images: Validation images that are looked at, and training images that nearest patches are looked for in.
        leave_out: Also measure the loss without each prompt (layers x P passes over the images).

    Returns:
        ``layers``: for each block that meets prompts, the class token's attention to them and, where it has prompts
        of its own, their mutual information with its patches. ``prompts``: for each prompt ``layer``, ``prompt``,
        and where they are known ``source`` and ``nearest`` (training image, row and column of the patch),
        ``attention``, ``moved`` (distance from the start over the start's length), ``turned`` (cosine with it),
        ``saliency``, ``leave_one_out``. ``training``: for each snapshot its ``epoch`` and ``mutual_information``.

    Raises:
        UserError: The method has no prompts.
    """
    insertion, device = prompted(model), next(model.parameters()).device
    seen = ImageTensors(splits.val.take(spread(len(splits.val), images)), model.protocol)
    pool = splits.train + splits.val  # the order in which sources are counted
    looked = spread(len(splits.train), images)
    near = ImageTensors(pool.take(looked), model.protocol)
    batch = model.normalize(seen.get(torch.arange(len(seen)).numpy()).to(device))

    prompts = effective_prompts(model)
    with torch.no_grad():
        streams = list(model.backbone.patch_streams(batch, len(prompts)))
    attended = [weights.mean(dim=0) for weights in attention(model, batch).to_prompts]
    neighbours = nearest_patches(
        model, (model.normalize(b.to(device)) for b, _ in near.batches(in_order(len(near), 32)))
    )
    history = snapshots(run) if run else {}
    start = history.get(0)
    columns: dict[str, Tensor] = {}
    if insertion.counts is None:
        columns["saliency"] = saliency(model, on(seen, device))
        if leave_out:
            columns["leave_one_out"] = leave_one_out(model, batch, seen.labels.to(device))
        if start is not None:
            end = insertion.prompts.detach().cpu()
            columns["moved"] = (end - start).norm(dim=-1) / start.norm(dim=-1).clamp(min=1e-12)
            columns["turned"] = F.cosine_similarity(end, start, dim=-1)
    side = round(model.backbone.num_patches**0.5)

    def patch(image: int, position: int) -> dict[str, int]:
        return {"image": image, "row": position // side, "column": position % side}

    rows: list[dict[str, Any]] = []
    for layer, own in enumerate(prompts):
        for index in range(len(own)):
            row: dict[str, Any] = {"layer": layer, "prompt": index}
            if model.sources is not None and insertion.counts is None:
                row["source"] = patch(*model.sources[layer, index].tolist())
            sources, similarity = neighbours[layer].sources[index], neighbours[layer].similarity[index]
            row["nearest"] = [
                {**patch(int(looked[image]), position), "similarity": round(float(cosine), 4)}
                for (image, position), cosine in zip(sources.tolist(), similarity)
            ]
            if len(prompts) > 1:
                row["attention"] = float(attended[layer][index])
            rows.append(row | {name: float(values[layer, index]) for name, values in columns.items()})
    shared = [float(mutual_information(p, s).mean()) if len(p) else 0.0 for p, s in zip(prompts, streams)]
    return {
        "method": model.method["name"],
        "images": len(seen),
        "layers": [
            {"layer": i, "attention_to_prompts": float(weights.sum())}
            | ({"mutual_information": shared[i]} if i < len(prompts) else {})
            for i, weights in enumerate(attended)
        ],
        "prompts": rows,
        "training": [
            {
                "epoch": epoch,
                "mutual_information": [float(mutual_information(p, s).mean()) for p, s in zip(old, streams)],
            }
            for epoch, old in sorted(history.items())
        ],
    }


def snapshots(run: Path) -> dict[int, Tensor]:
    """The trained prompts (layers, P, D) of a run by epoch; 0 is their start."""
    return {
        int(found[1]): snapshot(path)
        for path in (run / SNAPSHOTS).glob("epoch-*.safetensors")
        if (found := re.fullmatch(r"epoch-(\d+)\.safetensors", path.name))
    }


def snapshot(path: Path) -> Tensor:
    """The prompts of one file."""
    try:
        return load_file(path)["prompts"]
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): remove it, and the others beside it.") from None


def spread(available: int, wanted: int) -> Any:
    """Indices of up to ``wanted`` examples, spread evenly."""
    return torch.linspace(0, available - 1, min(available, wanted)).round().long().numpy()


def on(images: ImageTensors, device: torch.device) -> Any:
    """Batches of images and labels on a device."""
    return ((b.to(device), labels.to(device)) for b, labels in images.batches(in_order(len(images), 32)))
