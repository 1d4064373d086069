"""``selfprompt verify ADAPTER [DATA]``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from selfprompt.cli.console import emit
from selfprompt.cli.flags import ColumnFlags, given
from selfprompt.cli.values import Seed
from selfprompt.data.tables import with_columns

if TYPE_CHECKING:
    from selfprompt.runs.verify import Check


def command(
    adapter: str,
    data: str | None = None,
    *,
    column_flags: ColumnFlags = None,
    backbone: str | None = None,
    seed: Seed = 0,
    json: bool = False,
) -> None:
    """Whether backbone, protocol, data and accuracy are still those of an adapter; exit status 3 if one is not.

    Data are compared by the names of images, their order and their labels, the test images also by what they hold. An
    accuracy holds where it differs by no more than rounding may decide.

    Args:
        adapter: A folder, or hf:USER/NAME, with @REVISION where wanted, of the Hugging Face hub.
        data: What it was tested on, as for tune; by default what the run in its folder names.
        backbone: The backbone, if it has moved.
        seed: Has no effect here; every command takes it.
        json: Print one JSON object.
    """
    from selfprompt.runs.verify import verify

    done = verify(adapter, with_columns(data, given(column_flags)), backbone=backbone)
    emit(done, json, "\n".join(map(line, done["checks"])))
    if not done["holds"]:
        sys.exit(3)


def line(check: Check) -> str:
    """One check, for people."""
    was, now = (f"{v:.2f} %" if isinstance(v, float) else str(v)[:12] for v in (check["recorded"], check["found"]))
    if check["holds"]:
        said = f"holds      {now}" + (f" (recorded {was}: {check['why']})" if check["why"] else "")
    elif check["holds"] is None:
        said = f"unchecked  {check['why']}"
    else:
        said = f"changed    {was}, now {now}" if check["found"] is not None else f"changed    {was}: {check['why']}"
    return f"{check['what']:15}{said}"
