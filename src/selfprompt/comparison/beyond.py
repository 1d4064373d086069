"""What tested runs are evaluated on besides their own test images: new classes, and other data sets."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NotRequired

from selfprompt.assembly import load
from selfprompt.data import sources
from selfprompt.files import read_json, replace_file
from selfprompt.reports.table import Column, spread
from selfprompt.runs.evaluate import evaluate
from selfprompt.tuning.records import Tested

NAME = "also.json"
Asked = tuple[str, Literal["all", "new"], str | None]
"""A data set, which of its classes, and what is done at test time."""
H, SHIFTED = "H", "shifted"
"""What `derived` adds to what was asked."""
BY = ", "
"""Between a data set and what is done at test time, in the names of what was asked."""


class Final(Tested):
    """A tested run, and its accuracy on what else it was evaluated on."""

    also: NotRequired[dict[str, float]]


def asked_of(data: str, classes: str, also: Sequence[str], adapt: Sequence[str]) -> dict[str, Asked]:
    """What runs on a data set are evaluated on besides, by name: new classes, other data sets, each adapted, too."""
    asked: dict[str, Asked] = {"new": (data, "new", None)} if classes == "base" else {}
    for other in also:
        located = sources.NAME + other if other in sources.names() else other
        asked |= {other + (how and BY + how): (located, "all", how or None) for how in ("", *adapt)}
    return asked


def evaluated(folder: Path, asked: dict[str, Asked], tested: Tested) -> dict[str, float]:
    """Accuracy in percent of a tested run, kept in its folder; of nothing where its head knows no other classes."""
    path = folder / NAME
    known = {"new": tested["new_classes"]["accuracy"]} if "new" in asked and "new_classes" in tested else {}
    found: dict[str, float] = read_json(path, "remove it") if path.exists() else known
    if asked.keys() <= found.keys() or (path.exists() and not found):
        return found
    if not load(folder).head.knows_names:
        replace_file(path, json.dumps(found))
        return found
    for what, (data, classes, adapt) in asked.items():
        if what not in found:
            found[what] = evaluate(folder, data, classes=classes, adapt=adapt).get("test_accuracy", 0.0)
            replace_file(path, json.dumps(found))
    return found


def derived(accuracies: Sequence[float], also: dict[str, list[float]]) -> dict[str, list[float]]:
    """Accuracies on what else was asked, by seed, with the harmonic mean H of old and new classes (as in CoCoOp,
    arXiv 2203.05557), and the mean of ``shifted`` data sets (as in CoOp), without and with each adaptation."""
    made = {what: own for what, own in also.items() if what not in (H, SHIFTED) and not what.startswith(SHIFTED + BY)}
    others = [what for what in made if what != "new"]
    if "new" in made:
        made[H] = [statistics.harmonic_mean(pair) for pair in zip(accuracies, made["new"])]
    for how in dict.fromkeys(what.partition(BY)[1:] for what in others):
        own = [made[what] for what in others if what.partition(BY)[1:] == how]
        made[SHIFTED + "".join(how)] = [statistics.mean(of_seed) for of_seed in zip(*own)]
    return made


def also_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column[Any]]:
    """What else tested runs were evaluated on; empty for methods whose heads know no other classes."""
    names = dict.fromkeys(what for row in rows for what in row.get("also", {}))
    return [Column(f"{what}, %", partial(also_text, what)) for what in names]


def also_text(what: str, row: Mapping[str, Any]) -> str:
    """Mean and deviation over seeds of what else was asked."""
    found = row.get("also", {}).get(what)
    return "" if found is None else spread(statistics.mean(found), deviation(found), len(found))


def deviation(values: Sequence[float]) -> float:
    """Of a sample; 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
