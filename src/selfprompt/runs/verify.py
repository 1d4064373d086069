"""Whether what an adapter was made of, and what it measured, is still so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from selfprompt.adapters.format import AdapterConfig, find_adapter, read_adapter
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.data.contents import fingerprint_of
from selfprompt.data.recorded import NAME as SPLIT
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.files import read_json
from selfprompt.runs.columns import as_read
from selfprompt.runs.config import NAME as RUN
from selfprompt.runs.config import read_run
from selfprompt.runs.evaluate import evaluated
from selfprompt.tuning.answers import Answers
from selfprompt.tuning.records import METRICS

FIX = "restore it, or give the adapter in a folder of its own"
ROUNDING = {"float32": 1e-3, "bf16": 2e-2}
"""By how much a probability may differ on another device, by precision."""
ACCURACY = "test accuracy"
TESTED = ("contents", ACCURACY)
"""What is looked at with the test examples at hand."""


class Check(TypedDict):
    """One thing as it was recorded and as it is found; what was not recorded, or not looked at, is None.

    ``holds`` is None where one of the two is; ``why`` says what was not looked at, and why, or why another accuracy
    holds.
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
    or texts there are, and their labels), that of what its test images or texts hold, and its test accuracy. This is
    measured in the run's own precision, and may differ by as many examples as rounding may decide: those whose two
    likeliest classes are as likely but for `ROUNDING`.

    Args:
        adapter: A folder, or ``hf:user/name``.
        data: What it was tested on; by default what its run.json names, if it has one. Without either, the last
            three are not looked at.
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
    data = None if data is None else as_read(data, folder)
    if data is None:
        checks += [check(what, known[what], None, "no DATA was given") for what in ("data", *TESTED)]
    else:
        checks.append(check("data", known["data"], load_dataset(data, config.protocol.inputs).fingerprint()))
        checks += tested(adapter, data, known, backbone) if same else []
        checks += [check(what, known[what], None, "the backbone is another") for what in TESTED if not same]
    return {"adapter": str(adapter), "holds": all(one["holds"] is not False for one in checks), "checks": checks}


def recorded(folder: Path, config: AdapterConfig) -> dict[str, Any]:
    """What an adapter, or the run in its folder, recorded; None where neither did."""
    own = config.metrics or {}
    run, split = (read_json(folder / name, FIX) if (folder / name).is_file() else {} for name in (METRICS, SPLIT))
    return {
        "protocol": own.get("protocol") or run.get("protocol"),
        "data": own.get("data") or split.get("fingerprint"),
        "contents": own.get("contents"),
        ACCURACY: own.get("test_accuracy"),
        "precision": own.get("precision") or run.get("precision"),
    }


def check(what: str, was: Any, now: Any, why: str | None = None) -> Check:
    """One thing compared."""
    if was is None or now is None:
        return {"what": what, "recorded": was, "found": now, "holds": None, "why": why or "it was not recorded"}
    return {"what": what, "recorded": was, "found": now, "holds": was == now, "why": why}


def tested(adapter: str | Path, data: str, known: dict[str, Any], backbone: BackboneSource | None) -> list[Check]:
    """What the test images or texts hold, and the accuracy on them, measured again."""
    if known[ACCURACY] is None:
        return [check(what, known[what], None) for what in TESTED]
    precision = known["precision"] if known["precision"] in ROUNDING else "auto"
    try:
        found = evaluated(adapter, data, backbone=backbone, precision=precision)
    except UserError as error:  # the data are no longer those of the run
        why = str(error)
        wrong: Check = {"what": ACCURACY, "recorded": known[ACCURACY], "found": None, "holds": False, "why": why}
        return [check("contents", known["contents"], None, why), wrong]
    held = check("contents", known["contents"], fingerprint_of(found.examples[0].images))
    return [held, accuracy(known[ACCURACY], found.answers[0], found.evaluation["precision"])]


def accuracy(was: float | None, answers: Answers, precision: str) -> Check:
    """The test accuracy beside that of answers in some precision."""
    count = len(answers.labels)
    found = check(ACCURACY, was, 100 * int(answers.right.sum()) / count)
    if was is not None and not found["holds"]:
        close = answers.undecided(ROUNDING[precision])
        differ = abs(was - found["found"]) * count / 100
        if differ < 1e-6:
            found["holds"] = True
        elif differ < close + 1e-6:
            found["holds"], found["why"] = True, f"rounding may decide {close} of {count:,}"
    return found
