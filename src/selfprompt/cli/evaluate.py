"""``selfprompt evaluate ADAPTER DATA``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from selfprompt.cli.console import emit, stages
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.values import Adapt, Seed, one_of
from selfprompt.data.tables import with_columns

if TYPE_CHECKING:
    Asked = Literal["all", "base", "new", "base,new"] | None
else:
    Asked = one_of(("all", "base", "new", "base,new"))


def command(
    adapter: str,
    data: str,
    *,
    split: Literal["train", "val", "test"] = "test",
    classes: Asked = None,
    backbone: str | None = None,
    column_flags: ColumnFlags = None,
    adapt: Adapt = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Accuracy of a saved adapter on labelled images or texts, under the protocol it was trained with.

    Args:
        adapter: A folder, or hf:USER/NAME, with @REVISION where wanted, of the Hugging Face hub.
        data: As for tune.
        split: Which split, as the run recorded it; where it recorded none, cut as in training. Of data that the run
            never saw all is the test split, unless they have one.
        classes: Of the data: all, base (the first half), new (the other), or base,new for both and their harmonic
            mean. Image-text models answer for classes they were not trained on, by their names.
        backbone: The backbone, if it has moved.
        adapt: What is done for each image by itself: NAME, or NAME:FIELD=VALUE:FIELD=VALUE, such as tpt:views=32
            (selfprompt list adaptations).
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.runs.evaluate import evaluate
    from selfprompt.scores.classes import told

    located = with_columns(data, given(column_flags))
    assert located is not None
    with stages():
        result = evaluate(adapter, located, split=split, classes=classes, backbone=backbone, adapt=adapt)
    keys = ("base_accuracy", "new_accuracy", "harmonic_mean") if classes == "base,new" else (f"{split}_accuracy",)
    said = ", ".join(f"{key.replace('_', ' ')} {dict(result)[key]:.2f} %" for key in keys)
    said += " (all labels right)" if "map" in result.get("scores", {}) else ""
    how = result["precision"] if adapt is None else f"{result['precision']}, {adapt}"
    more = f"\n{told(result['scores'])}" if "scores" in result else ""
    line = f"{said} on {result['images']:,} {result['inputs']}s ({how})"
    if (plain := result.get("unadapted")) is not None:
        (low, high), points = plain["interval"], plain["difference"]
        line += f"; without {plain['accuracy']:.2f} %: {points:+.1f} points (95 % {low:+.1f} to {high:+.1f})"
    emit(result, json, f"{line}{more}")
