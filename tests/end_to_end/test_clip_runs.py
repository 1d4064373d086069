"""The command line on a pair of towers: a run of prompts among words, from images to its page."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import selfprompt as sp
from selfprompt.analysis import analyse
from selfprompt.analysis.texts import look_at_texts
from selfprompt.backbones.load import from_open_clip
from selfprompt.comparison.compare import Comparison, compare, protocol_of
from selfprompt.comparison.rows import COLUMNS
from selfprompt.data.sources import load_dataset
from selfprompt.errors import UserError
from selfprompt.reports import report
from selfprompt.reports.table import markdown
from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune
from selfprompt.serving.export import export
from tiny_clip import NAMES, write_clip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A folder of images, and a backbone."""
    root, rng = tmp_path_factory.mktemp("clip"), np.random.default_rng(0)
    for i, name in enumerate(NAMES):
        (root / "images" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[10 * i : 10 * i + 10] += 100
            Image.fromarray(pixels).save(root / "images" / name / f"{k}.png")
    return str(root / "images"), f"open_clip:{write_clip(root / 'pair')}"


@pytest.mark.parametrize("method", ["coop", "spt", "linear", "zeroshot"])
def test_a_run_ends_in_a_page_and_answers(method: str, places: tuple[str, str], tmp_path: Path) -> None:
    data, backbone = places
    config = RunConfig.resolve(data, backbone, method, recipe={"epochs": 2, "batch_size": 8})
    done = tune(config, tmp_path / "run")
    page = report(tmp_path / "run").read_text(encoding="utf-8")
    assert ("What the classes' texts say" in unescape(page)) == (method != "linear")
    assert ("prompt 16" in page) == (method == "coop")
    assert sp.evaluate(tmp_path / "run", data)["test_accuracy"] == done.metrics["test_accuracy"]
    image = next(Path(data).rglob("*.png"))
    assert sp.predict(tmp_path / "run", [image])[0]["label"] in NAMES
    assert tune(config, tmp_path / "run", resume=True).metrics == done.metrics
    if method == "coop":
        splits = sp.with_splits(load_dataset(data), config.protocol)
        with pytest.raises(UserError, match="no prompts to look at"):
            analyse(sp.load(tmp_path / "run"), splits)


@torch.no_grad()
def test_an_exported_program_has_the_texts_in_it(places: tuple[str, str], tmp_path: Path) -> None:
    model = sp.create_model(places[1], "coop", class_names=NAMES, num_prompts=4)
    model.initialize()
    export(model, tmp_path / "coop.pt2")
    program = torch.export.load(tmp_path / "coop.pt2")
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(program.module()(images), model.eval()(images), atol=1e-4)


def test_texts_that_differ_with_the_image_are_not_exported(places: tuple[str, str], tmp_path: Path) -> None:
    model = sp.create_model(places[1], "cocoop", class_names=NAMES, num_prompts=4)
    model.initialize()
    with pytest.raises(UserError, match="The texts of cocoop differ with the image"):
        export(model, tmp_path / "cocoop.onnx")


def test_a_prompt_that_is_a_word_is_nearest_to_it(places: tuple[str, str]) -> None:
    model = sp.create_model(places[1], "coop", class_names=NAMES, words="a photo")
    model.initialize()
    found = look_at_texts(model)
    assert found is not None
    assert [near[0]["distance"] for near in found.get("nearest", [])] == [0, 0]
    assert [near[0]["word"] for near in found.get("nearest", [])] == ["a", "photo"]
    assert np.allclose(np.diag(found["similarity"]), 1)


def test_what_trains_nothing_stands_beside_what_does(places: tuple[str, str], tmp_path: Path) -> None:
    data, backbone = places
    recipe = {"epochs": 1, "batch_size": 8}
    comparison = Comparison(data=data, backbone=backbone, protocol=protocol_of(backbone), recipe=recipe, trials=2)
    table = compare(comparison, "zeroshot,coop", tmp_path / "table", seeds=2)
    zero, trained = table["results"]
    assert (zero["trainable_parameters"], len(zero["trials"])) == (0, 1)
    assert len({*zero["test_accuracies"]}) == 1
    assert len(trained["trials"]) == 2
    assert "| zeroshot | " in (line := markdown(COLUMNS, [zero]).splitlines()[-1])
    assert "(end)" not in line


def test_loading_a_pair_draws_nothing_from_torch(places: tuple[str, str]) -> None:
    before = torch.get_rng_state()
    from_open_clip.__wrapped__(places[1], ())
    assert torch.equal(torch.get_rng_state(), before)
