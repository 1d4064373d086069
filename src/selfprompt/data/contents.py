"""What images and texts hold, in a few digits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from selfprompt.data.depth import contents


def fingerprint_of(sources: Iterable[Any]) -> str:
    """Twelve hexadecimal digits that change where one of some images or texts holds something else, or has another
    place; of files it is the bytes that count, not the names."""
    found = hashlib.sha256()
    for source in sources:
        found.update(hashlib.sha256(held_by(source)).digest())
    return found.hexdigest()[:12]


def digest(source: Any) -> str:
    """Twelve hexadecimal digits that tell what one image or text holds from what others do."""
    return hashlib.sha256(held_by(source)).hexdigest()[:12]


def held_by(source: Any) -> bytes:
    """The bytes of a file, pixels in memory, or a text, or both of a pair."""
    if isinstance(source, Mapping):
        source = source["path"] if source.get("bytes") is None else source["bytes"]
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, Path)):
        return Path(source).read_bytes()
    if isinstance(source, Image.Image):
        return contents(source) or f"{source.mode} {source.size} ".encode() + source.tobytes()
    if isinstance(source, np.ndarray):
        return f"{source.dtype} {source.shape} ".encode() + source.tobytes()
    return repr(source).encode(errors="surrogatepass")
