"""``selfprompt embed ADAPTER|BACKBONE INPUT... --out FILE``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from selfprompt.cli.console import done_in_part, emit, is_first
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.inputs import advancing, joined, paths_of
from selfprompt.cli.values import Count, Seed
from selfprompt.errors import UserError


def command(
    source: str,
    inputs: list[str],
    /,
    *,
    out: Path,
    column_flags: ColumnFlags = None,
    backbone: str | None = None,
    image_size: Count | None = None,
    on_error: Literal["skip", "stop"] = "skip",
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Features of images or texts, to search or to train something else on; exit status 3 if some cannot be read.

    Args:
        source: An adapter (a folder, or hf:USER/NAME, with @REVISION where wanted), for what its head reads; or a
            backbone as for tune, for what it gives by itself.
        inputs: As for predict.
        out: The file: .parquet (a column of names and one of lists), .npz (names, or texts as the bytes of a JSON
            list, and features) or .csv. What cannot be read is not in it.
        backbone: The backbone, if it has moved.
        image_size: Side of what a backbone sees in pixels, if not its own.
        on_error: skip names an image or text that cannot be read and takes the others; stop ends there.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.runs.feature_files import check_suffix, feature_file

    check_suffix(out)
    from selfprompt.runs.embed import embed_each, embedding

    model = embedding(source, backbone, image_size)
    kind = model.protocol.inputs
    paths = paths_of(inputs, kind, given(column_flags), source)
    errors: list[str] = []
    count = width = 0
    with feature_file(out, kind) if is_first() else nullcontext() as row:
        found = embed_each(model, paths, on_error=on_error)
        for name, features in advancing(found, f"embed with {source}", paths, kind):
            if isinstance(features, UserError):
                errors.append(str(features))
                continue
            count, width = count + 1, len(features)
            if row is not None:
                row(joined(name), features)
    done = {"out": str(out), f"{kind}s": count, "features": width, "errors": errors}
    emit(done, json, f"{out}: {width:,} features of {count:,} {kind}s")
    done_in_part(errors)
