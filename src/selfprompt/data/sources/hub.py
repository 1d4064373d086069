"""``hf:NAME``: a data set of the Hugging Face hub, read by the datasets library."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from selfprompt.data.datasets import Dataset
from selfprompt.data.examples import Examples
from selfprompt.data.pairs import IMAGE_COLUMNS, LABEL_COLUMNS, encoded
from selfprompt.data.rows import as_names
from selfprompt.data.tables import Kind
from selfprompt.data.text_tables import likely as columns_of_texts
from selfprompt.data.texts import Entry, dataset_of
from selfprompt.errors import UserError, first_line
from selfprompt.hub import away

logger = logging.getLogger("selfprompt")

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev", "validation_matched", "dev_matched"),
    "test": ("test", "testing", "test_matched"),
}
NONE: Mapping[str, str] = {}
KINDS = {"image": "images or bytes of files", "class-label": "whole numbers, booleans or texts"}


def load_hub(name: str, inputs: Kind | None = None) -> Dataset:
    """Load ``NAME`` or ``NAME@CONFIGURATION``, and ``#COLUMN`` behind it where several could hold the label.

    Splits are found by their usual names, or given there, too: ``#label,train=fold1,test=fold2``; an only split is
    trained on, whatever it is called. Where it is left open whether images or texts are wanted, texts are read where
    there is no column of images.

    Raises:
        UserError: The datasets library is missing, the hub cannot be reached, it is left open which configuration or
            column is meant, or training images have no label.
    """
    try:
        import datasets.config
    except ImportError:
        raise UserError("Data sets of the hub need an extra: pip install 'selfprompt[hf]'.") from None
    whole, _, columns = name.partition("#")
    path, _, config = (whole, "", "") if Path(whole).exists() else whole.partition("@")
    if not path:
        raise UserError(f"hf:{name} names no data set: write hf:NAME.")
    kept = Path(datasets.config.HF_DATASETS_CACHE, path.replace("/", "___"))
    if not (Path(path).exists() or kept.exists()) and (why := away(path, "dataset")):
        raise UserError(f"hf:{name} could not be had ({why}): check the network.")
    try:
        loaded = datasets.load_dataset(path, config or None)
    except Exception as error:
        known = configurations(path)
        if known and config not in known and (config or len(known) > 1):
            raise UserError(
                f"hf:{name} needs one of the configurations {', '.join(known)}: write hf:{path}@{known[0]}."
            ) from None
        raise UserError(
            f"hf:{name} could not be had ({first_line(error)}): check the name and the network."
        ) from error
    chosen, given = [], {}
    for part in filter(None, columns.split(",")):
        split, sign, called = part.partition("=")
        if sign and split in SPLIT_NAMES:
            given[split] = called
        else:
            chosen.append(part)
    splits = {str(split): table for split, table in loaded.items()}
    if inputs is None:
        features = splits[named_splits(f"hf:{whole}", splits, given)["train"]].features
        inputs = "image" if any(map(shows, features.values())) else "text"
    return (texts_from if inputs == "text" else from_splits)(f"hf:{whole}", splits, chosen, given)


def configurations(path: str) -> list[str]:
    """The names of a data set's configurations, as far as they can be had."""
    import datasets

    try:
        return list(datasets.get_dataset_config_names(path))
    except Exception:
        return []


def from_splits(
    name: str, loaded: dict[str, Any], chosen: Sequence[str] = (), given: Mapping[str, str] = NONE
) -> Dataset:
    """Turn the splits of a loaded data set into ours; a validation or test split without labels is left out.

    Args:
        name: Its name.
        loaded: Tables of the datasets library, by split.
        chosen: The label column, the image column, or both; where left out, those of a type and name that tells.
        given: What our splits are called there; where left out, they are found by their usual names.

    Raises:
        UserError: There is no training split, no column of images or labels or more than one that could be meant, or
            training images have no label.
    """
    named = named_splits(name, loaded, given)
    features = loaded[named["train"]].features
    image, label = columns_of(name, features, chosen)
    values = {split: loaded[own][label][:] for split, own in named.items()}
    kept = {split: [i for i, value in enumerate(found) if not unlabelled(value)] for split, found in values.items()}
    for split, own in named.items():
        if lacking := len(values[split]) - len(kept[split]):
            said = f"{name}: {lacking} of {len(values[split])} images of the split {own} have no label in {label}"
            if split == "train":
                raise UserError(f"{said}: write {name}#COLUMN for another column, or fit to the others in Python.")
            logger.warning("%s, and are left out.", said)
    names = getattr(features[label], "names", None)
    known = range(len(names)) if names else sorted({values["train"][i] for i in kept["train"]})
    index = {value: i for i, value in enumerate(known)}
    splits: dict[str, Examples] = {}
    for split, rows in kept.items():
        if strange := [value for value in (values[split][i] for i in rows) if value not in index]:
            lacks = "is none of its classes" if names else "train lacks"
            raise UserError(f"{name}: the split {named[split]} has the label {strange[0]!r}, which {lacks}.")
        if rows:
            images = Rows(f"{name}, {named[split]}", encoded(loaded[named[split]]), image, rows)
            splits[split] = Examples(images, np.array([index[values[split][i]] for i in rows]))
    if "train" not in splits:
        raise UserError(f"{name} has no training images.")
    licence = loaded[named["train"]].info.license or "unknown"
    class_names = tuple(map(str, names or known))
    return Dataset(name, class_names, splits["train"], splits.get("val"), splits.get("test"), licence)


def named_splits(name: str, loaded: Mapping[str, Any], given: Mapping[str, str] = NONE) -> dict[str, str]:
    """What each of our splits is called there: as given, or by usual names; one that is left alone is for training.

    Raises:
        UserError: There is none of a name that is given, or none for training.
    """
    if odd := [called for called in given.values() if called not in loaded]:
        raise UserError(f"{name} has no split {odd[0]}, but {', '.join(loaded)}.")
    lower = {split.lower(): split for split in reversed(list(loaded)) if split not in given.values()}
    named = {
        split: next(lower[alias] for alias in aliases if alias in lower)
        for split, aliases in SPLIT_NAMES.items()
        if any(alias in lower for alias in aliases)
    } | dict(given)
    others = [split for split in loaded if split not in named.values()]
    if "train" not in named and len(others) == 1:
        named["train"] = others.pop()
        logger.warning("%s: the split %s is trained on.", name, named["train"])
    if "train" not in named:
        raise UserError(f"{name} has no train split, but {', '.join(loaded)}: write {name}#train=NAME.")
    if others:
        logger.warning("%s: the split(s) %s are left out.", name, ", ".join(others))
    return named


def texts_from(
    name: str, loaded: dict[str, Any], chosen: Sequence[str] = (), given: Mapping[str, str] = NONE
) -> Dataset:
    """Turn the splits of a loaded data set of texts into ours.

    Args:
        name: Its name.
        loaded: Tables of the datasets library, by split.
        chosen: The columns of the texts, that of the label, or both; where left out, those whose names tell.
        given: See `from_splits`.

    Raises:
        UserError: There is no training split, or no such column; or from `dataset_of`.
    """
    named = named_splits(name, loaded, given)
    features = loaded[named["train"]].features
    texts = [column for column, feature in features.items() if getattr(feature, "dtype", "") == "string"]
    classes = [column for column, feature in features.items() if getattr(feature, "names", None)]
    if odd := [column for column in chosen if column not in features]:
        raise UserError(f"{name} has no column {odd[0]} among {', '.join(features)}.")
    picked = [column for column in chosen if column not in texts]
    likely = picked or [c for c in features if c in classes or (c.lower() in LABEL_COLUMNS and c not in chosen)]
    if not likely:  # all that is chosen are texts, and the last of them is the label
        picked = likely = list(chosen[-1:])
    if not likely:
        raise UserError(f"{name} has no label column that tells among {', '.join(features)}: write {name}#COLUMN.")
    label = next((column for column in LABEL_COLUMNS if column in likely), likely[0])
    if len(likely) > 1:
        logger.warning("%s: %s is taken of the label columns %s.", name, label, ", ".join(likely))
    inputs = [column for column in chosen if column not in picked and column != label]
    found = [inputs] if inputs else columns_of_texts([column for column in texts if column != label])
    if len(found) != 1 or len(found[0]) > 2:
        raise UserError(f"{name} has no one text column that tells among {', '.join(texts)}: write {name}#COLUMN.")
    parts = {}
    for split, own in named.items():
        table, names = loaded[own], getattr(loaded[own].features[label], "names", None)
        labels = as_names(table[label][:])
        parts[split] = [
            Entry(
                f"{name}, {own}, row {i}",
                tuple("" if row[column] is None else row[column].strip() for column in found[0]),
                None if unlabelled(row[label]) else names[row[label]] if names else labels[i],
            )
            for i, row in enumerate(table.select_columns([*found[0], label]))
        ]
    made = dataset_of(name, parts, licence=loaded[named["train"]].info.license or "unknown")
    return made if (own := getattr(features[label], "names", None)) is None else in_the_order_of(own, made)


def in_the_order_of(names: Sequence[str], dataset: Dataset) -> Dataset:
    """A data set whose classes are numbered as those names are, of which it may lack some."""
    number = np.array([names.index(name) for name in dataset.class_names])
    splits = {k: Examples(part.images, number[part.known_labels]) for k, part in dataset.own.items()}
    return replace(dataset, class_names=tuple(names), **splits)


@dataclass(frozen=True)
class Rows(Sequence[Any]):
    """The images of some rows of a table, opened and not yet loaded; each tells where it stands."""

    where: str
    table: Any
    column: str
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> Any:
        row = self.rows[i]
        name = f"{self.where}, row {row}"
        try:
            found = self.table[row][self.column]
            if isinstance(found, Mapping):
                found = found["path"] if found["bytes"] is None else found["bytes"]
            if found is None:
                raise UserError(f"{name} has no image: leave it out.")
            if isinstance(found, (str, bytes)):
                found = Image.open(BytesIO(found) if isinstance(found, bytes) else found)
                found.filename = name
            return found
        except UnidentifiedImageError:
            raise UserError(f"{name} is no image: replace it, or leave it out.") from None
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{name} cannot be decoded ({first_line(error)}): replace it, or leave it out.") from None


def columns_of(name: str, features: Any, chosen: Sequence[str]) -> tuple[str, str]:
    """The image and the label column: the chosen ones, the only ones, or those of a name that tells."""
    import datasets

    def tells(feature: Any) -> bool:
        """Whole numbers, booleans or texts."""
        return isinstance(feature, datasets.Value) and feature.dtype.startswith(("int", "uint", "bool", "string"))

    images = [column for column, feature in features.items() if shows(feature)]
    classes = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    plain = [column for column, feature in features.items() if tells(feature)]
    if odd := [column for column in chosen if column not in (*images, *classes, *plain)]:
        kinds = " or ".join(KINDS.values())
        raise UserError(f"{name} has no column {odd[0]} of {kinds} among {', '.join(features)}.")

    def the(what: str, found: Sequence[str], possible: Sequence[str], telling: Sequence[str]) -> str:
        if picked := [column for column in chosen if column in possible]:
            return picked[0]
        if not found:
            hint = f": write {name}#COLUMN if it is {' or '.join(possible)}" if possible else ""
            raise UserError(f"{name} has no {what} column ({KINDS[what]}) among {', '.join(features)}{hint}.")
        if len(found) == 1:
            return found[0]
        best = next((column for column in telling if column in found), None)
        if best is None:
            raise UserError(f"{name} has {what} columns {', '.join(found)}: choose one, as in {name}#{found[0]}.")
        logger.warning("%s: %s is taken of the %s columns %s.", name, best, what, ", ".join(found))
        return best

    likely = classes or [column for column in plain if column in LABEL_COLUMNS]
    return the("image", images, images, IMAGE_COLUMNS), the("class-label", likely, [*classes, *plain], LABEL_COLUMNS)


def shows(feature: Any) -> bool:
    """Whether a column has images, or what files of images hold."""
    import datasets

    packed = isinstance(feature, dict) and feature.keys() == {"bytes", "path"}
    return packed or isinstance(feature, datasets.Image) or getattr(feature, "dtype", "") == "binary"


def unlabelled(value: Any) -> bool:
    """Whether a label stands for none."""
    return value is None or value == "" or (isinstance(value, int) and value < 0)
