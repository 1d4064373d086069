from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from selfprompt.errors import Diverged, UserError
from selfprompt.pretraining.config import PretrainConfig
from selfprompt.pretraining.loop import learning_rate
from selfprompt.pretraining.mae import pretrain

SHAPE = {"image_size": 8, "patch_size": 4, "width": 16, "depth": 1, "heads": 1, "decoder_width": 16}
TINY = PretrainConfig(**SHAPE, batch_size=4, images_seen=4 * 30)  # type: ignore[arg-type]
FIRST = Path(__file__).parents[1] / "regression" / "v1" / "pretraining.partial"  # after 15 steps of TINY on `corpus`


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of unlike sizes."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for name, count in (("few", 3), ("many", 5)):
        (root / name).mkdir()
        for index in range(count):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / name / f"{index}.png")
    return root


def stop_at(last: int) -> Callable[[int, int, float], None]:
    def on_step(step: int, steps: int, loss: float) -> None:
        if step == last:
            raise KeyboardInterrupt

    return on_step


def contents(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["selfprompt"])
        return {key: opened.get_tensor(key) for key in opened.keys()}, header | {"seconds": 0}  # noqa: SIM118


def test_killed_and_resumed_it_is_the_same_to_the_bit(corpus: Path, tmp_path: Path) -> None:
    generator = torch.random.get_rng_state()
    whole: list[float] = []
    pretrain(corpus, tmp_path / "whole", TINY, lambda step, steps, loss: whole.append(loss))
    with pytest.raises(KeyboardInterrupt):
        pretrain(corpus, tmp_path / "killed", TINY, stop_at(12), checkpoint_seconds=0)
    rest: list[float] = []
    pretrain(corpus, tmp_path / "killed", TINY, lambda step, steps, loss: rest.append(loss))
    assert rest == whole[11:]  # the last checkpoint is of step 11
    (weights, header), (resumed, header_resumed) = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    assert header == header_resumed
    assert all(torch.equal(weights[key], resumed[key]) for key in weights)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "killed"}
    assert torch.equal(torch.random.get_rng_state(), generator)  # the caller's random numbers are its own


def test_a_checkpoint_of_the_first_version_resumes(corpus: Path, tmp_path: Path) -> None:
    whole, rest = [], []
    pretrain(corpus, tmp_path / "whole", TINY, lambda step, steps, loss: whole.append(loss))
    shutil.copy(FIRST, tmp_path / "old.partial")
    pretrain(corpus, tmp_path / "old", TINY, lambda step, steps, loss: rest.append(loss))
    assert rest == pytest.approx(whole[15:], rel=1e-4)


def test_the_rate_is_the_lesser_of_warm_up_and_cosine() -> None:
    rates = [learning_rate(TINY.lr, step, 200) for step in range(200)]
    for step, rate in enumerate(rates):
        warm, late = (step + 1) / 10, 0.5 * (1 + math.cos(math.pi * step / 200))
        assert rate == pytest.approx(TINY.lr * min(warm, late))
    assert rates.index(max(rates)) == 9


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 32}, r"killed\.partial was trained with width 16, not 32: choose another"),
        ({"betas": (0.9, 0.99)}, r"betas \[0\.9, 0\.95\], not \[0\.9, 0\.99\]"),
        (None, r"killed\.partial is damaged \(\w+\): remove it to start again"),
    ],
)
def test_a_checkpoint_that_does_not_fit(change: dict | None, sentence: str, corpus: Path, tmp_path: Path) -> None:
    partial = tmp_path / "killed.partial"
    shutil.copy(FIRST, partial)
    if change is None:
        partial.write_bytes(partial.read_bytes()[:-500])
    with pytest.raises(UserError, match=sentence):
        pretrain(corpus, tmp_path / "killed", TINY.model_copy(update=change or {}))


def test_a_loss_that_is_not_finite_ends_it(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"became \w+ at step \d+: use a smaller --lr than 1e\+20"):
        pretrain(corpus, tmp_path / "out", TINY.model_copy(update={"lr": 1e20}))
