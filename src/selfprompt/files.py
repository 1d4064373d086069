"""Files: written whole or not at all, read with one sentence where they are damaged, held by one process."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import itertools
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from selfprompt.errors import Unwritable, UserError, first_line

csv.field_size_limit(2**31 - 1)  # a long text in a cell is no mistake
LOCK = ".selfprompt.lock"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FIXES = {
    **dict.fromkeys(FULL, "free space there and start it again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "get the right to it, or choose another place"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file stands where a folder is needed, choose another place"),
    errno.EISDIR: "a folder stands there, choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}

Model = TypeVar("Model")
"""A pydantic model, or a TypedDict."""


def replace_file(path: Path, contents: str | bytes) -> None:
    """Write a file, with the folders above it, so that it is there whole or, whatever happens, as it was.

    Text becomes UTF-8; half a surrogate pair, as in file names that are not UTF-8, becomes an escape (as in JSON).

    Raises:
        Unwritable: It cannot be written: no space, no right, no such place.
    """
    with replacing(path) as file:
        file.write(contents if isinstance(contents, bytes) else encoded(contents))


def encoded(text: str) -> bytes:
    """A text as UTF-8; half a surrogate pair becomes an escape."""
    return text.encode("utf-8", "backslashreplace")


def in_order(weights: bytes) -> bytes:
    """A safetensors file's contents with its metadata in order; safetensors writes them as they lie in a hash map."""
    size = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + weights[8 + size :]


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which is in the place of ``path`` when the block ends; until then that is as it was.

    Raises:
        Unwritable: As of `replace_file`.
    """
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("wb")
        with writing(path, FULL), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with writing(path):
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def writing(path: Path, only: Sequence[int | None] | None = None) -> Iterator[None]:
    """Inside, what the system refuses is said of a path.

    Args:
        path: Where something is written.
        only: Numbers of the errors that are meant, where others may come from elsewhere.

    Raises:
        Unwritable: It refuses something.
    """
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise unwritable(path, error) from None


def unwritable(path: Path | str, error: OSError, verb: str = "written") -> Unwritable:
    """The sentence for a path that the system does not let us write."""
    fix = FIXES.get(error.errno or 0, "choose another place")
    return Unwritable(f"{path} cannot be {verb} ({error.strerror or first_line(error)}): {fix}.")


def comma_separated(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV, one a line; a cell is quoted wherever it must be to come back as it was, as at a line's end."""
    lines = []
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow(row)  # only beside its own end, "\r\n", does every Python quote both letters
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def read_text(path: Path, fix: str) -> str:
    """A text file to the letter, UTF-8 with or without a mark at its beginning, or UTF-16 with one.

    Args:
        path: The file.
        fix: What to do where it is missing or damaged.

    Raises:
        UserError: It is.
    """
    return text_of(read_bytes(path, fix), path, fix)


def read_bytes(path: Path, fix: str) -> bytes:
    """What a file holds; arguments and errors as of `read_text`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or first_line(error)}): {fix}.") from None


def text_of(data: bytes, path: Path, fix: str) -> str:
    """The text that a file's bytes are; further arguments and errors as of `read_text`."""
    try:
        return data.decode(encoding_of(data))
    except UnicodeDecodeError:
        raise damaged(path, "it is not UTF-8", fix) from None


def encoding_of(start: bytes) -> str:
    """The encoding of a text file by its first bytes: Excel saves "Unicode text" as UTF-16 with a mark."""
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def read_lines(path: Path, fix: str, newline: str = "\n") -> Iterator[str]:
    """The lines of a text file with their ends, as they are asked for; arguments and errors as of `read_text`.

    ``newline`` is that of `open`.
    """
    try:
        with path.open("rb") as file:
            yield from io.TextIOWrapper(file, encoding_of(file.peek(2)), newline=newline)
    except UnicodeDecodeError:
        raise damaged(path, "it is not UTF-8", fix) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or first_line(error)}): {fix}.") from None


def read_names(path: Path, fix: str) -> list[str]:
    """The lines of a text file that are not empty, without blanks around; errors as of `read_text`."""
    return [line.strip() for line in read_text(path, fix).splitlines() if line.strip()]


def read_json(path: Path, fix: str) -> dict[str, Any]:
    """A file of one JSON object whose numbers are finite; arguments and errors as of `read_text`."""
    return json_object(read_text(path, fix), path, fix)


def json_object(text: str, path: Path, fix: str) -> dict[str, Any]:
    """The one JSON object in a text of a file; arguments and errors as of `read_json`."""
    try:
        found = json.loads(text, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as error:
        raise damaged(path, first_line(error), fix) from None
    if not isinstance(found, dict):
        raise damaged(path, "it holds no JSON object", fix)
    return found


def finite(text: str) -> float:
    """A JSON number, refused where it is none (NaN) or too large."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


def read_as(path: Path, model: type[Model], fix: str) -> Model:
    """A JSON file as the model that it holds; arguments and errors as of `read_text`."""
    return checked(read_json(path, fix), model, path, fix)


def checked(found: Any, model: type[Model], path: Path | str, fix: str) -> Model:
    """What was found in a file, as a model, or as it is where the model is a TypedDict.

    Raises:
        UserError: It does not fit.
    """
    try:
        made = adapter_of(model).validate_python(found)
        return found if isinstance(made, dict) else made
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise damaged(path, f"{where}: {first['msg']}", fix) from None


@cache
def adapter_of(model: type[object]) -> TypeAdapter[Any]:
    """What checks that values are of a model, made once."""
    return TypeAdapter(model)


def damaged(path: Path | str, why: str, fix: str) -> UserError:
    """The sentence for a file that does not hold what it should."""
    return UserError(f"{path} is damaged ({why}): {fix}.")


@contextmanager
def using(path: Path, fix: str) -> Iterator[None]:
    """Inside, what a file held is put to use; that it is no good is said of the file.

    Raises:
        UserError: It is no good.
    """
    try:
        yield
    except UserError as error:
        raise damaged(path, str(error).rstrip("."), fix) from None


def must_be_utf8(what: str, name: str) -> None:
    """Refuse a name that no file of ours, and no page, could hold.

    Raises:
        UserError: It is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "surrogateescape" if os.name == "posix" else "surrogatepass")
        raise UserError(f"{what} {str(shown)[1:]} is not UTF-8: rename it (convmv -f latin1 -t utf8 does).") from None


def unused(folder: Path) -> Path:
    """Make a folder of that name, or of that name with a number where it is taken, and return it.

    Raises:
        UserError: None can be made there.
    """
    for number in itertools.count(1):
        path = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise unwritable(path, error) from None
    raise AssertionError


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Make a folder and keep other processes out of it, until the block ends or this process dies.

    The same thread may claim it again within. What a killed process left half-written is removed; a folder that is
    empty after an error is, too.

    Raises:
        UserError: Another process is at work in it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        with only_one(folder / LOCK, folder):
            for left in (*folder.glob(".*.[0-9]*.tmp"), *folder.glob("*/.*.[0-9]*.tmp")):
                left.unlink(missing_ok=True)
            yield folder
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
        raise


@contextmanager
def only_one(lock: Path, what: Path) -> Iterator[None]:
    """Hold a lock file, which the system lets go when this process dies.

    Args:
        lock: The file; it is removed in the end.
        what: What it guards, for the message.

    Raises:
        UserError: Another process holds it, or it cannot be written.
    """
    held = FileLock(lock, timeout=0, is_singleton=True)
    try:
        held.acquire()
    except Timeout:
        raise UserError(
            f"Another selfprompt is at work in {what}: wait until it is done, or choose another --out."
        ) from None
    except OSError as error:
        raise unwritable(what, error) from None
    try:
        yield
    finally:
        if held.lock_counter == 1:
            with suppress(OSError):
                lock.unlink()
        held.release()
