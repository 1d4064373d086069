"""What a run is said to take, and a budget that is kept, by a clock that work alone moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import write_image
from selfprompt import watch
from selfprompt.backbones.stepwise import Stepwise
from selfprompt.data.views.image import ImageView
from selfprompt.errors import UserError
from selfprompt.inputs import count
from selfprompt.runs import outcome, rehearsal
from selfprompt.runs import tune as room
from selfprompt.runs.budget import Deadline, fitting, within
from selfprompt.runs.config import RunConfig, read_run
from selfprompt.runs.estimate import price
from selfprompt.runs.material import Material
from selfprompt.runs.timer import Timer
from selfprompt.runs.tune import tune
from selfprompt.tuning.loop import Loop

EARLY = {"subspace": "early", "subspace_epochs": 3, "subspace_rank": 2}


class Work:
    """A clock in seconds of work: ``prices`` says what each kind takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.prices = {"read": 0.02, "run": 0.03, "step": 0.5, "load": 7.0, "probe": 0.01, "report": 4.0}

    def __call__(self) -> float:
        return self.now

    def paid(self, what: str, work: Callable[..., Any], units: Callable[..., int]) -> Callable[..., Any]:
        def working(*arguments: Any, **options: Any) -> Any:
            self.now += self.prices[what] * units(*arguments)
            return work(*arguments, **options)

        return working

    def report(self, folder: Path) -> None:
        assert (folder / "analysis.json").exists()
        self.now += self.prices["report"]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work()
    monkeypatch.setattr(watch, "clock", made)
    monkeypatch.setattr(rehearsal, "FEW", 48)  # all images of validation, of which an analysis looks at 64
    for place, name, what, units in (
        (ImageView, "read", "read", lambda *_: 1),
        (Stepwise, "run", "run", lambda _, inputs, *more: count(inputs)),
        (Loop, "_step", "step", lambda *_: 1),
        (room, "load_backbone", "load", lambda *_: 1),
        (outcome, "linear_probe", "probe", lambda train, *_: len(train)),
    ):
        monkeypatch.setattr(place, name, made.paid(what, getattr(place, name), units))
    return made


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat folder of three classes, a hundred images each."""
    root = tmp_path_factory.mktemp("many")
    for label in range(3):
        for index in range(100):
            write_image(root / f"class {label}" / f"{index}.png", label, index)
    return root


def configured(many: Path, weights: Path, method: str = "spt", batch: int = 8, **fields: Any) -> RunConfig:
    recipe = {"epochs": 6, "batch_size": batch, "lr": 0.05}
    fields = fields if method == "linear" else {"num_prompts": 2} | fields
    return RunConfig.resolve(str(many), str(weights), method, fields=fields, recipe=recipe)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("spt", {"prototype_share": 0.5}),
        ("auto", {}),
        ("linear", {}),
        ("vpt", {"keep": 0.5}),
        ("vpt", EARLY),
    ],
)
def test_an_estimate_is_what_the_run_takes(
    method: str, fields: dict[str, Any], many: Path, weights: Path, tmp_path: Path, work: Work
) -> None:
    config = configured(many, weights, method, **fields)
    found = price(config, Material(), then=work.report)
    spent, work.now = work.now, 0.0
    result = tune(config, tmp_path / "run")
    work.report(tmp_path / "run")
    assert found.seconds == pytest.approx(work.now, rel=0.1)
    assert spent < 0.75 * work.now
    assert found.epochs == result.metrics["epochs"] == len(result.history)
    assert found.trainable_parameters == result.metrics["trainable_parameters"]
    assert found.adapter_bytes == (tmp_path / "run" / "adapter_model.safetensors").stat().st_size


@pytest.mark.parametrize(("slower", "fields"), [(1, {}), (3, {}), (3, EARLY)])
def test_a_budget_is_kept_and_its_epochs_are_recorded(
    slower: int, fields: dict[str, Any], many: Path, weights: Path, tmp_path: Path, work: Work
) -> None:
    config, budget, out = configured(many, weights, batch=16, **fields), 250.0, tmp_path / "run"
    chosen, found, deadline = within(budget, config, Material(), 0.0, work.report)
    epochs = chosen.recipe.epochs
    assert epochs != config.recipe.epochs
    work.prices["step"] *= slower
    result = tune(chosen, out, ends=deadline)
    work.report(out)
    assert 0.9 * budget < work.now < 1.05 * budget
    assert read_run(out).recipe.epochs == epochs
    assert found.epochs == sum(stage.epochs for stage in chosen.method.stages(chosen.recipe))
    assert deadline.over == (slower > 1) == (len(result.history) < found.epochs)
    assert 0 < result.metrics["best_epoch"] <= len(result.history)
    assert tune(chosen, out, resume=True).metrics == result.metrics
    if slower == 1:  # a budget changes no number of the run that it chooses
        tune(chosen, tmp_path / "plain")
        for name in ("adapter_model.safetensors", "log.jsonl"):
            assert (out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_a_budget_without_room_says_what_it_takes(many: Path, weights: Path, work: Work) -> None:
    config = configured(many, weights)
    with pytest.raises(UserError, match=r"--budget leaves no room for an epoch: give (\d+)s or more") as said:
        within(30.0, config, Material(), 0.0, work.report)
    needed = float(str(said.value).split(" give ")[1].split("s ")[0])
    work.now = 0.0
    assert within(needed, config, Material(), 0.0, work.report)[0].recipe.epochs >= 1


def test_a_budget_shorter_than_its_rehearsal_is_refused_in_its_training(
    many: Path, weights: Path, work: Work
) -> None:
    with pytest.raises(
        UserError, match=r"--budget is over before training could be timed: give several times as much"
    ):
        within(9.0, configured(many, weights), Material(), 0.0, work.report)
    assert work.now < 12  # not the probe's, nor the page's time


def test_stages_share_a_budget_by_their_epochs(weights: Path, many: Path, work: Work) -> None:
    method = configured(many, weights, "vpt", keep=0.5).method
    recipe = configured(many, weights).recipe
    assert [fitting(method, recipe, room) for room in (0.5, 1.9, 2.0, 7.7)] == [0, 0, 2, 7]
    early = configured(many, weights, "vpt", **EARLY).method
    assert fitting(early, recipe, 9.5) == 6  # and three before
    deadline = Deadline(90.0)
    work.now = 50.0
    assert not deadline(2 / 3)
    assert not deadline.over
    work.now = 60.0
    assert deadline(2 / 3)
    assert not deadline(1.0)


def test_a_stage_within_another_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(watch, "clock", lambda: now[0])
    timer = Timer()
    with watch.watched(timer):
        now[0] += 5  # in no stage
        for cold in (3, 0):
            with watch.stage("training") as advance:
                for seconds in (2 + cold, 2, 2):
                    now[0] += seconds
                    advance(1, "")
                for _ in watch.counted(range(4), "validation", 4):
                    now[0] += 1
                now[0] += 0.5
    timer.stop()
    assert timer.known == {(False, "training"): (2.0, 0.5), (False, "validation"): (1.0, 0.0)}
    assert timer.besides(False) == 5 + 3


class Complete(watch.Watcher):
    """Notes how far each stage came, an epoch's training from where the last one's ended."""

    def __init__(self) -> None:
        self.open: list[list[Any]] = []
        self.ended: dict[str, tuple[int | None, int]] = {}

    def begin(self, name: str, total: int | None, unit: str, done: int) -> None:
        self.open.append([name, total, done])

    def advance(self, units: int, words: str) -> None:
        self.open[-1][2] += units

    def end(self) -> None:
        name, total, done = self.open.pop()
        self.ended[name] = total, done


@pytest.mark.parametrize("method", ["auto", "linear"])
def test_every_stage_comes_to_its_end(method: str, many: Path, weights: Path, tmp_path: Path) -> None:
    config, watching = configured(many, weights, method), Complete()
    few = config.model_copy(update={"recipe": config.recipe.model_copy(update={"epochs": 2, "batch_size": 64})})
    with watch.watched(watching):
        tune(few, tmp_path / "run")
    assert {"training", "validation", "test"} <= {*watching.ended}
    assert not {name: ended for name, ended in watching.ended.items() if ended[0] not in (None, ended[1])}


def test_the_command_says_its_price_and_leaves_nothing(folder: Path, weights: Path, monkeypatch, works) -> None:
    monkeypatch.chdir(folder.parent)
    there = sorted(folder.parent.iterdir())
    given = ("tune", folder, "--backbone", weights, "--epochs", 3, "--batch-size", 8, "--num-prompts", 2)
    found = json.loads(works(*given, "--estimate", "--json"))
    assert found["seconds"] == pytest.approx(sum(found["parts"].values()))
    assert (found["epochs"], found["steps"]) == (3, 2)
    assert {"start", "training", "validation", "decoding", "prototypes", "test", "probe", "report"} <= {
        *found["parts"]
    }
    assert sorted(folder.parent.iterdir()) == there
    assert "for 3 epochs of 2 steps" in works(*given, "--estimate")


def test_stages_are_lines_where_there_is_no_terminal(folder: Path, weights: Path, monkeypatch, call) -> None:
    monkeypatch.chdir(folder.parent)
    options = ("--epochs", 3, "--batch-size", 8, "--num-prompts", 2)
    code, _, said = call("tune", folder, "--backbone", weights, *options)
    assert code == 0
    lines = said.splitlines()
    for line in ("reading", "decoding: 19", "prototypes: 19", "training: 6 steps", "test: 6", "analysis", "report"):
        assert lines.count(line) == 1, line
    assert len(lines) < 20


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--budget", "10m", "--epochs", 3), "--budget chooses the epochs: leave --epochs out, or --budget."),
        (("--budget", "10m", "--method", "vpt:epochs=3"), "--budget chooses the epochs"),
        (("--budget", "10"), "--budget 10 is not valid: give a time, such as 90s, 10m or 1h."),
        (("--budget", "0s"), "--budget 0s is not valid"),
        (("--resume", "run", "--budget", "1h"), "leave --budget out"),
        (("--resume", "run", "--estimate"), "leave --estimate out"),
    ],
)
def test_a_budget_is_refused_in_a_sentence(more: tuple, sentence: str, fails) -> None:
    assert sentence in fails("tune", *more)


def test_a_budget_for_a_folder_that_is_taken_is_refused_before_anything_is_priced(
    finished: Path, fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfprompt.runs.budget.within", None)
    assert "holds a run already" in fails("tune", "--budget", "1h", "--out", finished)


def test_examples_of_several_labels_have_a_price(weights: Path, tmp_path: Path) -> None:
    rows = []
    for i in range(200):
        write_image(tmp_path / f"{i}.png", i % 3, i, size=8)
        own = [name for name, of in {"ant": i % 2 == 0, "bee": i % 3 == 0, "cow": i == 0}.items() if of]
        rows.append({"image": f"{i}.png", "label": own, "split": ("train", "val", "test")[i % 3]})
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {"epochs": 2, "batch_size": 8}
    config = RunConfig.resolve(str(tmp_path / "table.jsonl"), str(weights), "spt", recipe=recipe, probe=False)
    assert price(config, Material()).steps == 8


def test_notices_of_a_rehearsal_are_left_to_the_run(tmp_path: Path, weights: Path, caplog) -> None:
    for label, each in enumerate((20, 4)):
        for index in range(each):
            write_image(tmp_path / f"class {label}" / f"{index}.png", label, index)
    config = configured(tmp_path, weights, "linear")
    price(config, Material())
    assert "unbalanced" not in caplog.text
    tune(config, tmp_path / "run")
    assert caplog.text.count("unbalanced") == 1
