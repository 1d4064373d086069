"""``selfprompt predict ADAPTER INPUT...``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selfprompt.cli.console import done_in_part, emit, is_first
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.inputs import advancing, joined, paths_of
from selfprompt.cli.values import Adapt, Seed, Threshold, TopK
from selfprompt.data.tables import Kind, apart
from selfprompt.errors import UserError

if TYPE_CHECKING:
    from selfprompt.runs.predict import Prediction


def command(
    adapter: str,
    inputs: list[str],
    /,
    *,
    csv: Path | None = None,
    top_k: TopK = None,
    threshold: Threshold = None,
    column_flags: ColumnFlags = None,
    backbone: str | None = None,
    class_names: Path | None = None,
    adapt: Adapt = None,
    on_error: Literal["skip", "stop"] = "skip",
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """The class of each image or text, and how sure the model is; exit status 3 if some could not be read.

    Args:
        adapter: A folder, or hf:USER/NAME, with @REVISION where wanted, of the Hugging Face hub.
        inputs: Image files, folders of them, or tables. For an adapter of texts, files with one text a line, tables,
            folders of text files, or - for standard input.
        csv: Write a table with one row for each input, and nothing to standard output but how many there are. Where
            all inputs are tables, their own columns stand first; what is said of a row is predicted_NAME where they
            have a column NAME.
        top_k: Also give the K likeliest classes, or all of them (all).
        threshold: Leave the label empty where its probability is lower; of several labels, leave those out that are,
            whatever threshold validation chose for each class. auto takes what validation says of a
            precision of 0.95, auto:0.9 of another: 0.5, 0.55 and so on to 0.95, and 0.99 are kept, and one between
            takes the next higher.
        backbone: The backbone, if it has moved.
        class_names: A file with one name a line: other classes, or the same in other words, where the adapter's are
            texts (image-text models).
        adapt: What is done for each image by itself: NAME, or NAME:FIELD=VALUE:FIELD=VALUE, such as tpt:views=32
            (selfprompt list adaptations).
        on_error: skip names an image or text that cannot be read and predicts the others; stop ends there.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.adaptations import make_adaptation
    from selfprompt.adapters.format import glance
    from selfprompt.files import read_names
    from selfprompt.runs.predict import predict_each
    from selfprompt.runs.streaming import table_cells, table_columns

    kind, classes, several = glance(adapter)
    paths = paths_of(inputs, kind, given(column_flags), adapter)
    if csv is not None and csv.resolve() in [Path(apart(name)[0]).resolve() for name in inputs]:
        raise UserError(f"--csv {csv} is one of the inputs: choose another file.")
    names = None if class_names is None else read_names(class_names, "give a file with one class name a line")
    chosen = {"class_names": names, "on_error": on_error, "adapt": adapt, "top_k": top_k, "threshold": threshold}
    kept: list[Prediction] = []
    errors: list[str] = []
    width = 0 if top_k is None else top_k or len(names or classes)
    count = 0
    found = predict_each(adapter, paths, backbone=backbone, **chosen)
    with ExitStack() as stack:
        sinks: list[Callable[[Prediction], object]] = [kept.append] if json else []
        if csv is not None:
            own = table_columns(paths, kind)
            cells = None if own is None else table_cells(paths, kind)
            classes = (names or classes) if several else ()
            sinks.append(stack.enter_context(table(csv, kind, width, classes, own or (), cells)))
        followed = found if not sinks else advancing(found, f"predict with {adapter}", paths, kind)
        for prediction in followed:
            count += 1
            if "error" in prediction:
                errors.append(prediction["error"])
            for sink in sinks or [show]:
                sink(prediction)
    if json:
        adapted = {} if adapt is None else {"adapted": make_adaptation(adapt).describe()}
        emit({"predictions": kept, **adapted}, json, "")
    elif csv is not None:
        emit({}, json, f"{csv}: {count - len(errors):,} of {count:,} {kind}s")
    done_in_part(errors)


@contextmanager
def table(
    path: Path,
    kind: Kind,
    width: int,
    several: Sequence[str] = (),
    own: Sequence[str] = (),
    cells_of: Iterator[Mapping[str, object]] | None = None,
) -> Iterator[Callable[[Prediction], None]]:
    """Give what writes a row for each prediction; the file is there when the block ends.

    Args:
        path: The file.
        kind: What is classified.
        width: How many of the likeliest classes have columns.
        several: The classes, where an input may have several: each has a column of its probability.
        own: The columns of the tables that the inputs are; they stand in the place of the input's name.
        cells_of: What each row of these tables has, in their order; None where the inputs are no tables.
    """
    from selfprompt.files import comma_separated, encoded, replacing

    if not is_first():
        yield lambda found: None
        return
    columns = [f"{name}_{place}" for place in range(1, width + 1) for name in ("label", "probability")]
    head = ["label", "probability", "error"]
    if several:
        head, columns = ["labels", "error"], [f"probability_{name}" for name in several]
    said = [other_than(own, name) for name in (*head, *columns)]
    with replacing(path) as file:
        file.write(encoded(comma_separated([[*([kind] if cells_of is None else own), *said]])))

        def row(found: Prediction) -> None:
            top = [cell for one in found.get("top", ()) for cell in (one["label"], one["probability"])]
            top = top or list(found.get("probabilities", {}).values())
            given = {} if cells_of is None else next(cells_of)
            first = [joined(found.get(kind))] if cells_of is None else [plain(given.get(name)) for name in own]
            sure = [] if several else [found["probability"]]
            cells = [*first, found["label"], *sure, found.get("error"), *(top or [None] * len(columns))]
            file.write(encoded(comma_separated([cells])))

        yield row


def other_than(taken: Sequence[str], name: str) -> str:
    """A column's name, with predicted_ before it as long as a table has such a column already."""
    return other_than(taken, f"predicted_{name}") if name in taken else name


def plain(cell: object) -> object:
    """A cell of another table as one of CSV: lists and objects as JSON."""
    from json import dumps

    return dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, (list, dict)) else cell


def show(found: Prediction) -> None:
    """Print what was found as one line, if something was."""
    if "labels" in found:
        given = "  ".join(f"{label} {100 * found.get('probabilities', {})[label]:.1f} %" for label in found["labels"])
        emit({}, False, f"{said_of(found)}  {given or '-'}")
    elif found["probability"] is not None:
        sure = found.get("top", [])[1:]
        more = "".join(f"  {one['label']}  {100 * one['probability']:.1f} %" for one in sure)
        emit({}, False, f"{said_of(found)}  {found['label'] or '-'}  {100 * found['probability']:.1f} %{more}")


def said_of(found: Prediction) -> str:
    """An image's name, or a text as a line shows it."""
    name = joined(found.get("image", found.get("text")))
    return name if "image" in found else shortened(name)


def shortened(text: str) -> str:
    """A text as a line shows it: what fits into it."""
    whole = " ".join(text.split())
    return whole if len(whole) <= 60 else f"{whole[:57]}..."
