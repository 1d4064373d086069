"""Whether what an adapter was made of, and what it measured, is still so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from selfprompt.adapters.format import AdapterConfig, find_adapter, read_adapter
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.data.recorded import NAME as SPLIT
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.files import read_json
from selfprompt.runs.config import NAME as RUN
from selfprompt.runs.config import read_run
from selfprompt.runs.evaluate import evaluate
from selfprompt.tuning.records import METRICS

FIX = "restore it, or give the adapter in a folder of its own"


class Check(TypedDict):
    """One thing as it was recorded and as it is found; what was not recorded, or not looked at, is None.

    ``holds`` is None where one of the two is; ``why`` says what was not looked at, and why.
    """

    what: str
    recorded: Any
    found: Any
    holds: bool | None
    why: str | None


class Verification(TypedDict):
    """Every check; ``holds`` is whether all of them do that could be made."""

    adapter: str
    holds: bool
    checks: list[Check]


def verify(adapter: str | Path, data: str | None = None, *, backbone: BackboneSource | None = None) -> Verification:
    """Compute again what an adapter's numbers rest on, and say which of it changed.

    These are the hash of its backbone's weights, the hash of its protocol, the fingerprint of its data (which images
    or texts there are, and their labels), and its test accuracy.

    Args:
        adapter: A folder, or ``hf:user/name``.
        data: What it was tested on; by default what its run.json names, if it has one. Without either, the last two
            are not looked at.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: The adapter, the backbone or the data cannot be loaded.
    """
    folder = find_adapter(adapter)
    config, _ = read_adapter(folder)
    known = recorded(folder, config)
    found = load_backbone(backbone or config.backbone.name, config.backbone.image_size)
    same = found.answers_to(config.backbone.hash)
    checks = [
        check("backbone", config.backbone.hash, config.backbone.hash if same else found.fingerprint()),
        check("protocol", known["protocol"], config.protocol.hash),
    ]
    if data is None and (folder / RUN).is_file():
        data = read_run(folder).data
    if data is None:
        checks += [check(what, known[what], None, "no DATA was given") for what in ("data", "test accuracy")]
    else:
        checks.append(check("data", known["data"], load_dataset(data, config.protocol.inputs).fingerprint()))
        checks.append(accuracy(adapter, data, known["test accuracy"], backbone, same))
    return {"adapter": str(adapter), "holds": all(one["holds"] is not False for one in checks), "checks": checks}


def recorded(folder: Path, config: AdapterConfig) -> dict[str, Any]:
    """What an adapter, or the run in its folder, recorded; None where neither did."""
    own = config.metrics or {}
    run, split = (read_json(folder / name, FIX) if (folder / name).is_file() else {} for name in (METRICS, SPLIT))
    return {
        "protocol": own.get("protocol") or run.get("protocol"),
        "data": own.get("data") or split.get("fingerprint"),
        "test accuracy": own.get("test_accuracy"),
    }


def check(what: str, was: Any, now: Any, why: str | None = None) -> Check:
    """One thing compared; numbers to what their last bits may differ by."""
    if was is None or now is None:
        return {"what": what, "recorded": was, "found": now, "holds": None, "why": why or "it was not recorded"}
    holds = abs(was - now) < 1e-9 if isinstance(was, float) and isinstance(now, float) else was == now
    return {"what": what, "recorded": was, "found": now, "holds": holds, "why": why}


def accuracy(adapter: str | Path, data: str, was: Any, backbone: BackboneSource | None, same: bool) -> Check:
    """The test accuracy, measured again."""
    if was is None or not same:
        why = None if same else "the backbone is another"
        return check("test accuracy", was, None, why)
    try:
        return check("test accuracy", was, evaluate(adapter, data, backbone=backbone).get("test_accuracy"))
    except UserError as error:  # the data are no longer those of the run
        return {"what": "test accuracy", "recorded": was, "found": None, "holds": False, "why": str(error)}
