"""``selfprompt analyse ADAPTER DATA``."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING

from selfprompt.cli.console import emit
from selfprompt.cli.values import Count, Seed
from selfprompt.errors import UserError

if TYPE_CHECKING:
    from typing import Any

    from selfprompt.analysis.adapter import Analysis
    from selfprompt.analysis.words import OfPrompt
    from selfprompt.data.datasets import Splits
    from selfprompt.model import PromptedModel


def command(
    adapter: str,
    data: str,
    *,
    backbone: str | None = None,
    images: Count = 64,
    leave_one_out: bool = False,
    out: Path | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """What an adapter's prompts share with patches, where they came from, how far they moved, what they are worth.

    Of texts: which words they are nearest to.

    Args:
        adapter: A folder, or hf:USER/NAME, with @REVISION where wanted, of the Hugging Face hub.
        data: The data it was trained on, as for tune.
        backbone: The backbone, if it has moved.
        images: Validation images to look at, and training images to find nearest patches in.
        leave_one_out: Also measure the loss without each prompt, one pass over the images each.
        out: Write the whole analysis to this JSON file.
        seed: Has no effect here; every command takes it.
        json: Print the whole analysis as one JSON object.
    """
    from selfprompt.analysis import analyse
    from selfprompt.assembly import load
    from selfprompt.data.recorded import splits_for
    from selfprompt.data.sources import load_dataset
    from selfprompt.files import replace_file

    if out is not None and out.is_dir():
        raise UserError(f"{out} is a folder: give --out a file, such as {out / 'analysis.json'}.")
    model = load(adapter, backbone)
    splits = splits_for(load_dataset(data, model.protocol.inputs), model.protocol, Path(adapter), seed=model.seed)
    run = Path(adapter) if Path(adapter).is_dir() else None
    found: Any
    if model.protocol.inputs == "text":
        found = {"method": model.method.name, "prompts": words_of(model, splits)}
        text = words_summary(found["prompts"])
    else:
        found = analyse(model, splits, run=run, images=images, leave_out=leave_one_out)
        text = summary(found)
    if out is not None:
        replace_file(out, jsonlib.dumps(found, indent=2) + "\n")
    emit(found, json, text)


def words_of(model: PromptedModel, splits: Splits) -> list[OfPrompt]:
    """The words that prompts of a language model are nearest to.

    Raises:
        UserError: It has no prompts of which this could be said.
    """
    from selfprompt.analysis.words import look_at_words
    from selfprompt.data.batches import Decoded

    if not (found := look_at_words(model, Decoded(splits.train, model.protocol, keep=False))):
        raise UserError(f"Method {model.method.name} has no prompts that stand among words or their states.")
    return found


def words_summary(found: list[OfPrompt]) -> str:
    """The lines for people: the words nearest to each prompt."""
    return "\n".join(
        f"block {row['layer'] + 1}, prompt {row['prompt'] + 1}: "
        + ", ".join(f"{near['word']} ({near['similarity']:.2f})" for near in row["nearest"])
        for row in found
    )


def summary(found: Analysis) -> str:
    """The lines for people: blocks, then the prompts that are worth most."""
    lines = ["block  attention to prompts  mutual information"]
    for row in found["layers"]:
        shared = f"{row['mutual_information']:.3f}" if "mutual_information" in row else ""
        lines.append(f"{row['layer'] + 1:5}  {100 * row['attention_to_prompts']:18.1f} %  {shared:>18}")
    ranked = sorted(found["prompts"], key=lambda row: -row.get("leave_one_out", row.get("saliency", 0.0)))
    lines.append("worth most:" if "saliency" in ranked[0] else "prompts:")
    for row in ranked[:5]:
        place, worth = row["nearest"][0], row.get("leave_one_out", row.get("saliency"))
        lines.append(
            f"  block {row['layer'] + 1}, prompt {row['prompt'] + 1}"
            + (f": {worth:+.4f} of the loss" if worth is not None else "")
            + (f", moved {row['moved']:.2f}" if "moved" in row else "")
            + f", nearest to training image {place['image']}, patch ({place['row']}, {place['column']})"
        )
    return "\n".join(lines)
