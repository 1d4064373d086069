"""Everything that can be said of one adapter's prompts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NotRequired

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import TypedDict

from selfprompt.adapters.kept import not_finite
from selfprompt.analysis.attention import attention
from selfprompt.analysis.effective import effective_prompts, prompted
from selfprompt.analysis.information import shared_information
from selfprompt.analysis.neighbours import nearest_patches
from selfprompt.analysis.worth import leave_one_out, saliency
from selfprompt.data.batches import Decoded, in_order
from selfprompt.data.datasets import Splits
from selfprompt.errors import UserError, first_line
from selfprompt.files import damaged
from selfprompt.inputs import images_of, move, place
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.watch import counted

SNAPSHOTS = "prompts"


Worth = Literal["saliency", "leave_one_out", "moved", "turned"]


class Patch(TypedDict):
    """A patch of a training image."""

    image: int
    row: int
    column: int


class Near(Patch):
    """One that is near to a prompt, by cosine."""

    similarity: float


class OfLayer(TypedDict):
    """What is said of a block."""

    layer: int
    attention_to_prompts: float
    mutual_information: NotRequired[float]


class OfPrompt(TypedDict):
    """What is said of a prompt."""

    layer: int
    prompt: int
    nearest: list[Near]
    source: NotRequired[Patch]
    attention: NotRequired[float]
    saliency: NotRequired[float]
    leave_one_out: NotRequired[float]
    moved: NotRequired[float]
    turned: NotRequired[float]


class OfEpoch(TypedDict):
    """What is said of a snapshot: a number for each layer."""

    epoch: int
    mutual_information: list[float]


class Analysis(TypedDict):
    """See `analyse`."""

    method: str
    images: int
    layers: list[OfLayer]
    prompts: list[OfPrompt]
    training: list[OfEpoch]


def analyse(
    model: PromptedModel, splits: Splits, *, run: Path | None = None, images: int = 64, leave_out: bool = False
) -> Analysis:
    """What the prompts share with patches, where they came from, how far they moved, and what they are worth.

    Args:
        model: A loaded adapter.
        splits: The data it was trained on, cut as in training.
        run: The folder of its training run, for its snapshots; None leaves out what needs them.
        images: Validation images that are looked at, and training images that nearest patches are looked for in.
        leave_out: Also measure the loss without each prompt (layers x P passes over the images).

    Returns:
        ``layers``: for each block that meets prompts, the class token's attention to them and, where it has prompts
        of its own, their mutual information with its patches, both as the block sees them (`shared_information`).
        ``prompts``: for each prompt ``layer``, ``prompt``,
        and where they are known ``source`` and ``nearest`` (training image, row and column of the patch),
        ``attention``, ``moved`` (distance from the start over the start's length), ``turned`` (cosine with it),
        ``saliency``, ``leave_one_out``. ``training``: for each snapshot its ``epoch`` and ``mutual_information``.

    Raises:
        UserError: The method has no prompts, or a snapshot of the run is damaged.
    """
    train, val = (Decoded(part, model.protocol, keep=False) for part in (splits.train, splits.val))
    return look_into(model, train, val, run=run, images=images, leave_out=leave_out)


def look_into(
    model: PromptedModel,
    train: Decoded,
    val: Decoded,
    *,
    run: Path | None = None,
    images: int = 64,
    leave_out: bool = False,
) -> Analysis:
    """`analyse`, on images that may be decoded already; sources count validation images on behind training images."""
    insertion, device = prompted(model), next(model.parameters()).device
    count = len(train) + len(val)
    if model.sources is not None and int(model.sources[..., 0].max()) >= count:
        raise UserError(
            f"The prompts came from more than these {count} training images: give the data it was trained on."
        )
    looked = spread(len(train), images)
    seen, near = val.take(spread(len(val), images)), train.take(looked)
    batch = images_of(model.normalize(move(seen.get(torch.arange(len(seen)).numpy()), device)))

    prompts = effective_prompts(model)
    attended = [weights.mean(dim=0) for weights in attention(model, batch).to_prompts]
    neighbours = nearest_patches(
        model, (images_of(model.normalize(move(b, device))) for b, _ in near.batches(in_order(len(near), 32)))
    )
    history = snapshots(model, run) if run else {}
    columns: dict[Worth, Tensor] = {}
    if insertion.counts is None:
        columns["saliency"] = saliency(model, on(seen, device))
        if leave_out:
            columns["leave_one_out"] = leave_one_out(model, batch, seen.labels.to(device))
        if 0 in history:
            end, start = insertion.prompts.detach().cpu(), history[0].prompts.detach()
            columns["moved"] = (end - start).norm(dim=-1) / start.norm(dim=-1).clamp(min=1e-12)
            columns["turned"] = F.cosine_similarity(end, start, dim=-1)
    side = round(model.backbone.num_patches**0.5)

    def patch(image: int, position: int) -> Patch:
        return {"image": image, "row": position // side, "column": position % side}

    rows: list[OfPrompt] = []
    for layer, own in enumerate(prompts):
        for index in range(len(own)):
            sources, similarity = neighbours[layer].sources[index], neighbours[layer].similarity[index]
            nearest: list[Near] = [
                {**patch(int(looked[image]), position), "similarity": round(float(cosine), 4)}
                for (image, position), cosine in zip(sources.tolist(), similarity)
            ]
            row: OfPrompt = {"layer": layer, "prompt": index, "nearest": nearest}
            if model.sources is not None and insertion.counts is None:
                row["source"] = patch(*model.sources[layer, index].tolist())
            if len(prompts) > 1:
                row["attention"] = float(attended[layer][index])
            for name, values in columns.items():
                row[name] = float(values[layer, index])
            rows.append(row)

    def shared(of: PromptInsertion) -> list[float]:
        return [float(values.mean()) for values in shared_information(model, batch, of)]

    now = shared(insertion)
    layers: list[OfLayer] = [
        {"layer": i, "attention_to_prompts": float(weights.sum())} for i, weights in enumerate(attended)
    ]
    for layer, information in zip(layers, now):
        layer["mutual_information"] = information
    return {
        "method": model.method.name,
        "images": len(seen),
        "layers": layers,
        "prompts": rows,
        "training": [
            {"epoch": epoch, "mutual_information": shared(then.to(device))}
            for epoch, then in counted(sorted(history.items()), "prompts by epoch", len(history))
        ],
    }


def snapshots(model: PromptedModel, run: Path) -> dict[int, PromptInsertion]:
    """The insertion of a run as it was after some of its epochs, before any prompt was taken away; 0 is its start."""
    part = model.part(model.tower)
    assert part is not None
    found = {}
    for path in (run / SNAPSHOTS).glob("epoch-*.safetensors"):
        if number := re.fullmatch(r"epoch-(\d+)\.safetensors", path.name):
            then = part.insertion(model.backbone)
            try:
                state = load_file(path)
                odd = then.load_state_dict(state, strict=False)  # earlier versions kept the prompts alone
                if odd.unexpected_keys or "prompts" in odd.missing_keys or not_finite(state):
                    raise ValueError("its weights are not of this method, or NaN or infinite")
            except (SafetensorError, OSError, RuntimeError, ValueError) as error:
                raise damaged(path, first_line(error), "remove it") from None
            found[int(number[1])] = then
    return found


def spread(available: int, wanted: int) -> Any:
    """Indices of up to ``wanted`` examples, spread evenly."""
    return torch.linspace(0, available - 1, min(available, wanted)).round().long().numpy()


def on(images: Decoded, device: torch.device) -> Any:
    """Batches of images and labels on a device."""
    return (place(batch, device) for batch in images.batches(in_order(len(images), 32)))
