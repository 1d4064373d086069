"""The splits that a run recorded, found again: what it trained on is never tested on, whatever came since."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from selfprompt.data.contents import digest
from selfprompt.data.datasets import Dataset, Examples, Splits, places_within, whole_splits
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.tables import is_table
from selfprompt.errors import UserError
from selfprompt.files import checked, read_json

logger = logging.getLogger("selfprompt")

NAME = "split.json"
SPLITS = ("train", "val", "test")
FIX = "restore it, or start the run anew"

Index = Annotated[int, Field(ge=0)]


def _name(value: Any) -> str:
    """A file's name, which may hold bytes that are not UTF-8 (pydantic's own texts may not)."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r:.40} is no name of a file")
    return value


Name = Annotated[str, PlainValidator(_name)]


class SplitRecord(BaseModel):
    """What `with_splits` records and is read again; runs from before files were named have indices alone.

    Args:
        train, val, test: Indices in the data set's own training split, of the splits that were cut from it.
        val_drawn: Indices in its own validation split, where ``shots`` were drawn from it.
        data, classes, fingerprint: Of the data set.
        train_files, val_files, test_files, unused_files: Where images are files, those of each split and those that
            ``train_images`` or ``shots`` left out.
        train_contents, val_contents, test_contents: Of data on disk, the `digest` of each example.
    """

    model_config = ConfigDict(strict=True)

    train: list[Index]
    val: list[Index] | None = None
    test: list[Index] | None = None
    val_drawn: list[Index] | None = None
    data: str = ""
    classes: list[str] = []
    fingerprint: str = ""
    train_files: list[Name] = []
    val_files: list[Name] = []
    test_files: list[Name] = []
    unused_files: list[Name] = []
    train_contents: list[str] = []
    val_contents: list[str] = []
    test_contents: list[str] = []

    @property
    def indices(self) -> dict[str, list[int]]:
        """The splits that were cut from the training split, by name."""
        return self.model_dump(include=set(SPLITS), exclude_none=True)

    def of(self, own: dict[str, Any], take: Callable[[Any, list[int]], Any]) -> dict[str, Any]:
        """The splits out of the data set's own, by whatever takes indices of one."""
        drawn = {} if self.val_drawn is None else {"val": take(own["val"], self.val_drawn)}
        return own | drawn | {name: take(own["train"], held) for name, held in self.indices.items()}

    @property
    def files(self) -> dict[str, list[str]]:
        """The files of each split."""
        return {split: getattr(self, f"{split}_files") for split in (*SPLITS, "unused")}


def splits_for(dataset: Dataset, protocol: BaseProtocol, run: Path, *, whole: bool = True, seed: int = 0) -> Splits:
    """The splits that the run in a folder recorded; cut by `with_splits` where it recorded none of this data set.

    Images are found by their files' names, so that the data may stand elsewhere by now, and may have grown: what is
    in none of the run's splits is left out, and said.

    Args:
        dataset: The data, as it is now.
        protocol: The run's.
        run: Its folder.
        whole: Refuse data that lack an image of the run, or have other classes; otherwise say what they lack, and of
            data that are not the run's ask all (see `of_others`).
        seed: The run's, for shots that are not recorded.

    Raises:
        UserError: The record is damaged, or the data have changed so much that it cannot be followed.
    """
    return recorded(dataset, protocol, run, whole, seed).of(protocol.classes)


def recorded(dataset: Dataset, protocol: BaseProtocol, run: Path, whole: bool, seed: int) -> Splits:
    """`splits_for`, of all classes."""
    path = run / NAME
    if not path.is_file():
        return whole_splits(dataset, protocol, seed)
    raw = read_json(path, FIX)
    record = checked(raw, SplitRecord, path, FIX)
    if wrong := damage(record, dataset):
        raise UserError(f"{path} is damaged ({wrong}): {FIX}.")
    if record.fingerprint == dataset.fingerprint():
        cut = record.of(dataset.own, lambda part, held: part.take(np.array(held, dtype=np.int64)))
        return Splits(**cut, record=raw, class_names=dataset.class_names)
    if whole and record.fingerprint and record.classes != list(dataset.class_names):
        odd = sorted(set(record.classes) ^ set(dataset.class_names)) or ["their order"]
        raise UserError(f"{dataset.place} has other classes than the run in {run}: {odd[0]} differs.")
    if not whole and record.test_contents and record.data != dataset.place:
        return by_contents(dataset, record, raw, run)
    if record.train_files and dataset.files():
        return found_again(dataset, protocol, record, raw, run, whole, seed)
    if record.fingerprint and record.data != dataset.place:
        return of_others(dataset, protocol, run, whole, seed)
    fresh = whole_splits(dataset, protocol, seed)
    if not record.fingerprint and all(raw.get(name) == fresh.record.get(name) for name in SPLITS):
        return fresh
    raise UserError(
        f"{dataset.place} has changed since the run in {run}, and {path.name} has numbers for its images, not names: "
        f"restore what was there; or, if these are other data, move {path} away."
    )


def damage(record: SplitRecord, dataset: Dataset) -> str | None:
    """What cannot be in a record, of its own or as the data set that it is of has not changed; None if nothing."""
    for kind in (record.indices, record.files):
        held = [(split, one) for split, all_of_it in kind.items() for one in all_of_it]
        one, count = next(iter(Counter(one for _, one in held).most_common(1)), ("", 0))
        if count > 1:
            places = " and ".join(dict.fromkeys(split for split, other in held if other == one))
            return f"{one} stands in it more than once, in {places}"
    files = dataset.files() or {}
    there = {name for names in files.values() for name in names}
    if record.data == dataset.place and dataset.root is not None:
        for split, names in record.files.items():
            for path in (PurePath(name) for name in names if name not in there):
                if path.is_absolute() or ".." in path.parts:
                    return f"{split}_files has {path}, which is no path in the data"
    if record.fingerprint != dataset.fingerprint():
        return None
    if lost := [split for split in SPLITS if split not in {**dataset.own, **record.indices}]:
        return f"it has no {lost[0]}"
    for split, indices in record.indices.items():
        if indices and max(indices) >= len(dataset.train):
            return f"{split} has {max(indices)}, and there are {len(dataset.train)} images"
    if record.val_drawn and (dataset.val is None or max(record.val_drawn) >= len(dataset.val)):
        return f"val_drawn has {max(record.val_drawn)}, which is no validation image"
    if files and record.train_files:
        files = record.of(files, lambda names, held: [names[i] for i in held])
        for split in SPLITS:
            if files[split] != record.files[split]:
                return f"{split} and {split}_files are not the same images"
    return None


def found_again(
    dataset: Dataset,
    protocol: BaseProtocol,
    record: SplitRecord,
    raw: dict[str, Any],
    run: Path,
    whole: bool,
    seed: int,
) -> Splits:
    """Splits of the files that a record names: those of the same name, or where the record's data have them."""
    pool = pooled(dataset)
    names = [name for files in (dataset.files() or {}).values() for name in files]
    ends = {end_of(name): name for name in names}
    by_name = {name: i for i, name in enumerate(names)}
    by_place = {whereabouts(dataset.root, name): i for i, name in enumerate(names)}
    home = Path(record.data).parent if is_table(record.data) else Path(record.data)
    every = (name for files in record.files.values() for name in files)
    found = {name: by_name.get(name, by_place.get(whereabouts(home, name))) for name in every}
    known = {names[i] for i in found.values() if i is not None}

    def elsewhere(lost: str) -> str:
        """Where a file may be now."""
        return f", which may be {ends[end_of(lost)]} now" if end_of(lost) in ends else ""

    if not known:
        if record.data != dataset.place:
            return of_others(dataset, protocol, run, whole, seed, [*filter(elsewhere, found)])
        said = f"{dataset.place} has none of the images of the run in {run}"
        raise UserError(f"{said}, such as {record.train_files[0]}{elsewhere(record.train_files[0])}: restore them.")
    splits = {}
    for split in SPLITS:
        if lost := [name for name in record.files[split] if found[name] is None]:
            said = f"{dataset.place} lacks {len(lost)} {split} image(s) of the run in {run}, such as {lost[0]}"
            said += elsewhere(lost[0])
            if whole:
                raise UserError(f"{said}: restore them.")
            logger.warning("%s.", said)
        there = [i for name in record.files[split] if (i := found[name]) is not None]
        splits[split] = pool.take(np.array(there, dtype=np.int64))
    if new := [name for name in names if name not in known]:
        logger.warning(
            "%d image(s) of %s are in no split of the run in %s, such as %s: they came later and are left out.",
            *(len(new), dataset.place, run, new[0]),
        )
    return Splits(**splits, record=raw, class_names=dataset.class_names)


def contents_of(dataset: Dataset, splits: Splits) -> dict[str, list[str]]:
    """What a record says besides of the splits of data on disk, which may be asked again under other names."""
    if dataset.root is None and dataset.table is None:
        return {}
    return {f"{name}_contents": list(map(digest, getattr(splits, name).images)) for name in SPLITS}


def by_contents(dataset: Dataset, record: SplitRecord, raw: dict[str, Any], run: Path) -> Splits:
    """Splits of data at another place than a run's, to be asked: the run's test split where all of it is there, as of
    data that were moved; else the test split of these data, or all but what it was trained or selected on.
    """
    every = pooled(dataset)
    held = list(map(digest, every.images))
    place = {one: i for i, one in enumerate(held)}
    if all(one in place for one in record.test_contents):
        parts = {name: [place[one] for one in getattr(record, f"{name}_contents") if one in place] for name in SPLITS}
        if later := len(held) - sum(map(len, parts.values())):
            said = "%s has the test split of the run in %s, which is asked; %d %s(s) besides are left out."
            logger.warning(said, dataset.place, run, later, dataset.inputs)
        taken = [every.take(np.array(parts[name], dtype=np.int64)) for name in SPLITS]
        return Splits(*taken, record=raw, class_names=dataset.class_names)
    known = {*record.train_contents, *record.val_contents}
    return all_asked(dataset, run, np.array([one in known for one in held]))


def all_asked(dataset: Dataset, run: Path, known: NDArray[np.bool_]) -> Splits:
    """Splits of data that are not a run's, whose test split is asked, or without one all that is not ``known``: (N,)
    which of the examples of all splits it was trained or selected on. Either is said."""
    every = pooled(dataset)
    if dataset.test is not None:
        asked = np.arange(len(every) - len(dataset.test), len(every))
        if twice := int(known[asked].sum()):
            said = "%s: %d of its test %s(s) are ones that the run in %s was trained or selected on."
            logger.warning(said, dataset.place, twice, dataset.inputs, run)
    else:
        asked, left = np.flatnonzero(~known), int(known.sum())
        logger.warning(
            "%s are not the data of the run in %s: of %d %s(s) %d are asked%s.",
            *(dataset.place, run, len(every), dataset.inputs, len(asked)),
            f", and not the {left} that it was trained or selected on" if left else "",
        )
    val = every.take(asked[:0]) if dataset.val is None else dataset.val
    return Splits(dataset.train, val, every.take(asked), {}, dataset.class_names)


def pooled(dataset: Dataset) -> Examples:
    """The examples of all splits, in one."""
    pool, *others = dataset.own.values()
    for other in others:
        pool = pool + other
    return pool


def of_others(
    dataset: Dataset, protocol: BaseProtocol, run: Path, whole: bool, seed: int, alike: Sequence[str] = ()
) -> Splits:
    """Splits of data that are not a run's, whose record holds no contents: to be trained on, as they are cut; to be
    asked, see `all_asked`.

    Args:
        dataset, protocol, run, whole, seed: As of `splits_for`.
        alike: Names in the run's record that end like files of these data.
    """
    if whole:
        return whole_splits(dataset, protocol, seed)
    if alike:
        logger.warning(
            "%s have files that are called as %d of the run in %s are, such as %s: if they are the same, it may have "
            "been trained on them.",
            *(dataset.place, len(alike), run, alike[0]),
        )
    return all_asked(dataset, run, np.zeros(len(pooled(dataset)), dtype=bool))


def whereabouts(root: Path | None, name: str) -> str:
    """Where a file stands that has a name in the data at ``root``."""
    return os.path.normpath(os.path.join(root or "", name))


def end_of(name: str) -> tuple[str, ...]:
    """The class and the file in a name."""
    return PurePath(name).parts[-2:]


def image_names(splits: Splits, split: str) -> list[str]:
    """What a record calls the images of a split: their files, their places within a table, or their numbers in it; of
    texts, themselves."""
    part = getattr(splits, split)
    if len(part) and isinstance(part.images[0], tuple):
        return [" | ".join(texts) for texts in part.images]
    if places := places_within(part):
        return places
    files, kept = splits.record.get(f"{split}_files"), splits.kept.get(split, np.arange(len(getattr(splits, split))))
    return [files[i] if files else str(i) for i in kept.tolist()]
