"""verify: whatever of backbone, protocol, data and accuracy is no longer an adapter's is named, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import selfprompt as sp
from conftest import make_backbone, write_image


def states(found: dict) -> dict[str, bool | None]:
    return {one["what"]: one["holds"] for one in found["checks"]}


ALL = dict.fromkeys(("backbone", "protocol", "data", "test accuracy"), True)


@pytest.fixture
def data(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run's data."""
    return shutil.copytree(finished.parent / "data", tmp_path / "data")


def test_an_untouched_run_holds_and_so_does_its_adapter_alone(run: Path, data: Path, works, tmp_path: Path) -> None:
    assert states(json.loads(works("verify", run, "--json"))) == ALL
    assert states(sp.verify(run, str(data))) == ALL
    said = works("verify", run).splitlines()
    assert [line.split("  ")[0] for line in said] == list(ALL)
    assert all("holds" in line for line in said)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(run / name, alone)
    assert states(sp.verify(alone, str(data))) == ALL
    assert states(sp.verify(alone)) == {**ALL, "data": None, "test accuracy": None}
    assert "no DATA was given" in works("verify", alone)


def test_what_changed_is_named_and_nothing_else(run: Path, data: Path, call) -> None:
    def changed(*arguments: object) -> set[str]:
        code, out, _ = call("verify", run, *arguments, "--json")
        found = states(json.loads(out))
        assert code == (0 if found == ALL else 3)
        return {what for what, holds in found.items() if not holds}

    write_image(data / "ant" / "new.png", 0, 77)
    assert changed(data) == {"data"}  # the test images are the run's own still
    (data / "ant" / "new.png").unlink()
    assert changed(data) == set()

    config = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    other = {**config, "protocol": {**config["protocol"], "val_fraction": 0.3}}
    (run / "adapter_config.json").write_text(json.dumps(other), encoding="utf-8")
    assert changed(data) == {"protocol"}
    (run / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")

    other = {
        **config,
        "metrics": {**config["metrics"], "test_accuracy": 12.5},
    }  # of four images
    (run / "adapter_config.json").write_text(json.dumps(other), encoding="utf-8")
    assert changed(data) == {"test accuracy"}
    (run / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")

    split = json.loads((run / "split.json").read_text(encoding="utf-8"))
    (run / "split.json").write_text(json.dumps({**split, "data": str(data.resolve())}), encoding="utf-8")
    for picture in [*data.glob("*/*.png")]:
        picture.rename(picture.with_name(f"new{picture.name}"))
    assert changed(data) == {"data", "test accuracy"}
    assert "has none of the images of the run" in sp.verify(run, str(data))["checks"][-1]["why"]


def test_another_backbone_is_a_change_and_no_error(run: Path, data: Path) -> None:
    found = sp.verify(run, str(data), backbone=make_backbone())
    assert states(found) == {**ALL, "backbone": False, "test accuracy": None}
    assert not found["holds"]
    assert found["checks"][-1]["why"] == "the backbone is another"
