"""Adapters, protocols and short runs recorded by an earlier state answer as they did (see record.py)."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import selfprompt as sp

HERE = Path(__file__).parent
OLD = HERE / "v1"
RECORD = runpy.run_path(str(HERE / "record.py"))
ADAPTERS = sorted(path.parent.name for path in OLD.glob("*/adapter_config.json"))
LOGS = json.loads((OLD / "logs.json").read_text(encoding="utf-8"))


def test_every_recorded_method_is_still_there() -> None:
    assert {name.partition("-")[0] for name in ADAPTERS} <= set(sp.list_methods())


@pytest.mark.parametrize("name", ADAPTERS)
def test_recorded_adapters_load_and_answer_as_they_did(name: str) -> None:
    backbone = None if name.endswith("-builtin") else OLD / "tiny.safetensors"
    with np.load(OLD / "logits.npz") as recorded:
        expected = recorded[name]
    assert np.allclose(RECORD["logits"](sp.load(OLD / name, backbone=backbone)), expected, atol=1e-4)


def test_protocols_keep_their_hashes() -> None:
    expected = json.loads((OLD / "protocols.json").read_text(encoding="utf-8"))
    assert {name: sp.Protocol(**fields).hash for name, fields in RECORD["PROTOCOLS"].items()} == expected


@pytest.mark.parametrize("name", LOGS)
def test_short_runs_learn_as_they_did(name: str, tmp_path: Path) -> None:
    """Losses to four digits, as processors differ in the last ones; on one kind the logs are equal to the byte."""
    text = RECORD["run"](name, str(OLD / "tiny.safetensors"), tmp_path / "run")
    found, expected = ([json.loads(line) for line in lines.splitlines()] for lines in (text, LOGS[name]))
    assert len(found) == len(expected)
    for row, old in zip(found, expected):
        assert row.keys() == old.keys()
        assert all(math.isclose(row[key], old[key], rel_tol=1e-4) for key in old if key != "val_accuracy")
