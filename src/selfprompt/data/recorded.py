"""The splits that a run recorded, found again: what it trained on is never tested on, whatever came since."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from selfprompt.data.datasets import Dataset, Splits, with_splits
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError, first_line

logger = logging.getLogger("selfprompt")

NAME = "split.json"
SPLITS = ("train", "val", "test")


class SplitRecord(BaseModel):
    """What `with_splits` records and is read again; runs from before files were named have indices alone.

    Args:
        train, val, test: Indices in the data set's own training split, of the splits that were cut from it.
        data, classes, fingerprint: Of the data set.
        train_files, val_files, test_files, unused_files: Where images are files, those of each split and those that
            ``train_images`` left out.
    """

    train: list[int]
    val: list[int] | None = None
    test: list[int] | None = None
    data: str = ""
    classes: list[str] = []
    fingerprint: str = ""
    train_files: list[str] = []
    val_files: list[str] = []
    test_files: list[str] = []
    unused_files: list[str] = []


def splits_for(dataset: Dataset, protocol: Protocol, run: Path, *, whole: bool = True) -> Splits:
    """The splits that the run in a folder recorded; cut by `with_splits` where it recorded none of this data set.

    Images are found by their files' names, so that the data may stand elsewhere by now, and may have grown: what is
    in none of the run's splits is left out, and said.

    Args:
        dataset: The data, as it is now.
        protocol: The run's.
        run: Its folder.
        whole: Refuse data that lack an image of the run, or have other classes; otherwise say what they lack.

    Raises:
        UserError: The record is damaged, or the data have changed so much that it cannot be followed.
    """
    path = run / NAME
    if not path.is_file():
        return with_splits(dataset, protocol)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        record = SplitRecord.model_validate(raw)
    except (ValueError, ValidationError) as error:
        raise UserError(f"{path} is damaged ({first_line(error)}): restore it, or start the run anew.") from None
    if record.fingerprint == dataset.fingerprint():
        held = record.model_dump(include=set(SPLITS), exclude_none=True)
        cut = {name: dataset.train.take(np.array(indices, dtype=np.int64)) for name, indices in held.items()}
        return Splits(**(dataset.own | cut), record=raw)
    if whole and record.fingerprint and record.classes != list(dataset.class_names):
        odd = sorted(set(record.classes) ^ set(dataset.class_names)) or ["their order"]
        raise UserError(f"{dataset.place} has other classes than the run in {run}: {odd[0]} differs.")
    if record.train_files and dataset.files():
        return by_name(dataset, protocol, record, raw, run, whole)
    if record.fingerprint and record.data != dataset.place:
        return with_splits(dataset, protocol)  # another data set
    fresh = with_splits(dataset, protocol)
    if not record.fingerprint and all(raw.get(name) == fresh.record.get(name) for name in SPLITS):
        return fresh
    raise UserError(
        f"{dataset.place} has changed since the run in {run}, and {path.name} has numbers for its images, not names: "
        f"restore what was there; or, if these are other data, move {path} away."
    )


def by_name(
    dataset: Dataset, protocol: Protocol, record: SplitRecord, raw: dict[str, Any], run: Path, whole: bool
) -> Splits:
    """Splits of the files that a record names."""
    pool, *others = dataset.own.values()
    for other in others:
        pool = pool + other
    names = [name for files in (dataset.files() or {}).values() for name in files]
    position = {name: i for i, name in enumerate(names)}
    recorded = {split: getattr(record, f"{split}_files") for split in (*SPLITS, "unused")}
    known = {name for files in recorded.values() for name in files}
    if known.isdisjoint(position):
        if record.data != dataset.place:
            return with_splits(dataset, protocol)  # another data set
        raise UserError(f"{dataset.place} has none of the images of the run in {run}: restore them.")
    splits = {}
    for split in SPLITS:
        if lost := [name for name in recorded[split] if name not in position]:
            said = f"{dataset.place} lacks {len(lost)} {split} image(s) of the run in {run}, such as {lost[0]}"
            if whole:
                raise UserError(f"{said}: restore them.")
            logger.warning("%s.", said)
        there = [position[name] for name in recorded[split] if name in position]
        splits[split] = pool.take(np.array(there, dtype=np.int64))
    if new := [name for name in names if name not in known]:
        logger.warning(
            "%d image(s) of %s are in no split of the run in %s, such as %s: they came later and are left out.",
            *(len(new), dataset.place, run, new[0]),
        )
    return Splits(**splits, record=raw)


def image_names(splits: Splits, split: str) -> list[str]:
    """What a record calls the images of a split: their files, or their numbers in it."""
    return splits.record.get(f"{split}_files") or [str(i) for i in range(len(getattr(splits, split)))]
