"""Who may ask: keys, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from selfprompt.errors import UserError
from selfprompt.files import read_names

LEAST = 16
FIX = f"give a file with one key of {LEAST} characters or more a line, all of them ASCII"

bearer = HTTPBearer(auto_error=False, description="A key of the server's --keys file.")


def digests(path: Path) -> list[bytes]:
    """SHA-256 of every key of a file, so that all that is compared is of one length.

    Raises:
        UserError: It cannot be read, has no key, or one that is too short or that a header cannot carry.
    """
    keys = read_names(path, FIX)
    if not keys or min(map(len, keys)) < LEAST:
        raise UserError(f"{path} has {'a key that is too short' if keys else 'no key'}: {FIX}.")
    if not all(key.isascii() and key.isprintable() for key in keys):  # clients send other letters in several ways
        raise UserError(f"{path} has a key with other characters than ASCII: {FIX}.")
    return [hashlib.sha256(key.encode()).digest() for key in keys]


def guarded(*files: Path | None) -> list[Any]:
    """The dependencies of routes for which a key of one of some files is needed; none where there are no files."""
    known = [digest for path in files if path for digest in digests(path)]

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if given is None or not among(given.credentials, known):
            raise HTTPException(401, "Send a key: Authorization: Bearer KEY.", {"WWW-Authenticate": "Bearer"})

    return [Depends(check)] if known else []


def among(key: str, known: Iterable[bytes]) -> bool:
    """Whether a key is known; it takes as long for every key."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    return sum(hmac.compare_digest(digest, other) for other in known) > 0  # a sum: all are compared
