"""``selfprompt evaluate ADAPTER DATA``."""

from __future__ import annotations

from typing import Literal

from selfprompt.cli.console import emit
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.values import Adapt, Seed
from selfprompt.data.columns import with_columns


def command(
    adapter: str,
    data: str,
    *,
    split: Literal["train", "val", "test"] = "test",
    backbone: str | None = None,
    column_flags: ColumnFlags = None,
    adapt: Adapt = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Accuracy of a saved adapter on labelled images, under the protocol it was trained with.

    Args:
        adapter: A folder, or a repository of the Hugging Face hub.
        data: As for tune.
        split: Which split; cut as in training where the data has none.
        backbone: The backbone, if it has moved.
        adapt: What is done for each image by itself: NAME, or NAME:FIELD=VALUE:FIELD=VALUE, such as tpt:views=32
            (selfprompt list adaptations).
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.runs.evaluate import evaluate

    located = with_columns(data, given(column_flags))
    assert located is not None
    result = evaluate(adapter, located, split=split, backbone=backbone, adapt=adapt)
    accuracy, images = dict(result)[f"{split}_accuracy"], f"{result['images']:,} images"
    how = result["precision"] if adapt is None else f"{result['precision']}, {adapt}"
    emit(result, json, f"{split} accuracy {accuracy:.2f} % on {images} ({how})")
