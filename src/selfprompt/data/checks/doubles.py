"""Examples that are there twice: the same to the pixel or letter, or pictures that were only saved anew."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfprompt.data.checks.findings import Double, Item

SIDE = 16
"""Pixels of a side of the small pictures that are compared."""
NEAR = 0.99
"""Correlation of small grey pictures from which on two are near duplicates; benchmarks/data_check.py measures it."""
FLAT = 2.0
"""Standard deviation, of 255, below which a small picture shows nothing that could be compared."""
SCORES = 2**23
"""That are held at once."""


def fingerprint(image: Image.Image) -> tuple[bytes, NDArray[np.uint8]]:
    """A hash of an RGB image's size and pixels, and the image made small and grey, (`SIDE` * `SIDE`,)."""
    pixels = np.asarray(image)
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest(), np.asarray(small).ravel()


def exact(keys: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Each example that has the key of an earlier one, after the first of that key."""
    first: dict[Hashable, int] = {}
    return [(first[key], i) for i, key in enumerate(keys) if first.setdefault(key, i) != i]


def near(
    small: NDArray[np.uint8], splits: NDArray[np.int64], least: float = NEAR
) -> Iterator[tuple[int, int, float]]:
    """Each picture that is almost an earlier one: saved anew, scaled, brighter or darker; not cut out or turned.

    Two are alike as their pixels correlate, each less its mean: JPEG's noise and another brightness hardly change it.
    Of several earlier ones it is the likest of another split, if one is near, else the likest of its own.
    Memory grows with N, not with its square.

    Args:
        small: (N, D) pictures made small (see `fingerprint`).
        splits: (N,) the split of each, from 0, in that order.
        least: Correlation from which on two are near.

    Returns:
        The earlier one, the later one and their correlation.
    """
    rows = small.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    flat = rows.std(axis=1) < FLAT
    rows[flat] = 0
    rows[~flat] /= np.linalg.norm(rows[~flat], axis=1, keepdims=True)
    step = max(1, SCORES // max(1, len(rows)))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        likeness = rows[start:stop] @ rows[:stop].T
        likeness[np.arange(stop) >= np.arange(start, stop)[:, None]] = -1  # itself, and later ones
        for i in np.flatnonzero((likeness >= least).any(axis=1)) + start:
            own = likeness[i - start]
            beyond = np.where(splits[:stop] == splits[i], -1, own)
            j = int((beyond if beyond.max() >= least else own).argmax())
            yield j, int(i), min(float(own[j]), 1.0)


def doubles(items: Sequence[Item], pairs: Sequence[tuple[int, int, float]]) -> list[Double]:
    """Pairs of examples by their names, those of two labels first, then those of two splits, then the likest."""
    found = [Double(one=items[i], other=items[j], similarity=alike) for i, j, alike in pairs]
    return sorted(found, key=lambda d: (not d.differ, d.one.split == d.other.split, -d.similarity))


def problems(found: Sequence[Double], inputs: str) -> list[str]:
    """Exact doubles in sentences: one for those of two labels, one for each split, and each two.

    Args:
        found: Them.
        inputs: What examples are, in the singular.
    """
    kinds: dict[tuple[str, ...], list[Double]] = {}
    for pair in found:
        where = () if pair.differ else tuple(dict.fromkeys((pair.one.split, pair.other.split)))
        kinds.setdefault(where, []).append(pair)
    said = []
    for where, pairs in kinds.items():
        one, other = pairs[0].one, pairs[0].other
        begin, names = f"{len(pairs):,} {inputs}(s)", f"such as {one.name} and {other.name}"
        if not where:
            names = f"such as {one.name} ({one.label}) and {other.name} ({other.label})"
            begin += " stand under two labels"
        elif len(where) == 1:
            begin += f" of {where[0]} stand there more than once"
        else:
            begin += f" are in {' and '.join(where)}"
        said.append(f"{begin}, {names}: remove one of them.")
    return said
