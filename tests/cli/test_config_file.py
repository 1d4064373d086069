"""tune --config: a run from a file, whose every setting is known, and which flags of the command line override."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from selfprompt.runs.config import RunConfig, read_run
from selfprompt.runs.config_file import read_settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, call):
    """Give what follows ``tune``; returns the configuration that it would run."""

    class Asked(Exception):
        pass

    def tune(config: RunConfig, out: object = None, **rest: object) -> None:
        found.append(config)
        raise SystemExit(0)

    found: list[RunConfig] = []
    monkeypatch.setattr("selfprompt.runs.tune.tune", tune)

    def run(*arguments: object) -> RunConfig:
        code, _, errors = call("tune", *arguments)
        assert code == 0, errors
        return found[-1]

    return run


def test_a_runs_own_settings_are_that_run_again(asked, finished: Path, tmp_path: Path, weights: Path) -> None:
    own = read_run(finished)
    assert asked("--config", finished / "run.json") == own
    changed = asked(
        "--config", finished / "run.json", "--seed", "3", "--lr", "0.5", "--num-prompts", "4", "--no-probe"
    )
    assert changed.recipe == own.recipe.model_copy(update={"lr": 0.5})
    assert (changed.seed, changed.method.num_prompts, changed.protocol, changed.data) == (
        3,
        4,
        own.protocol,
        own.data,
    )
    sections = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    sections["protocol"]["shots"] = 2
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    other = asked("--config", tmp_path / "run.yaml", "--method", "gatevpt:gate_init=10", "--backbone", "builtin")
    assert (other.method.name, other.backbone, other.recipe.epochs) == ("gatevpt", "builtin", own.recipe.epochs)
    assert other.protocol.shots == 2
    assert other.protocol.mean != own.protocol.mean  # another backbone's own
    for base in (RunConfig.resolve("mnist5k", "builtin"), RunConfig.resolve(None, None, "linear", probe=False)):
        (tmp_path / "run.json").write_text(base.model_dump_json(), encoding="utf-8")
        assert asked("--config", tmp_path / "run.json") == base


def test_another_method_or_backbone_brings_its_own_recipe(
    asked, finished: Path, tmp_path: Path, weights: Path
) -> None:
    """What was asked for stays; what the first method, or backbone, brought by itself does not."""
    own = read_run(finished)
    data = finished.parent / "data"
    there = ("--backbone", weights, "--epochs", own.recipe.epochs, "--batch-size", "4")
    (tmp_path / "run.json").write_text(asked(data, *there, "--method", "vpt").model_dump_json(), encoding="utf-8")
    for method in ("lora", "spt", "full"):
        there_anew = asked(data, *there, "--method", method)
        assert asked("--config", tmp_path / "run.json", "--method", method).recipe == there_anew.recipe
    chosen = asked("--config", tmp_path / "run.json", "--method", "lora", "--lr", "0.125").recipe
    assert (chosen.lr, chosen.batch_size) == (0.125, 4)
    bare = asked(data, "--backbone", "builtin", "--epochs", own.recipe.epochs, "--batch-size", "4", "--method", "vpt")
    assert asked("--config", tmp_path / "run.json", "--backbone", "builtin").recipe == bare.recipe

    (tmp_path / "run.json").write_text(asked("--method", "vpt", "--epochs", "2").model_dump_json(), encoding="utf-8")
    assert asked("--config", tmp_path / "run.json", "--method", "linear") == asked(
        "--method", "linear", "--epochs", "2"
    )


def test_of_a_backbone_that_is_gone_no_recipe_is_taken(
    asked, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sections = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    gone = {**sections, "backbone": str(tmp_path / "gone.safetensors")}
    (tmp_path / "run.json").write_text(json.dumps(gone), encoding="utf-8")
    found = asked("--config", tmp_path / "run.json", "--method", "linear", "--backbone", "builtin")
    assert found.recipe == asked(finished.parent / "data", "--method", "linear", "--backbone", "builtin").recipe
    assert "its recipe is left out" in caplog.text


def test_columns_are_settings_too(asked, finished: Path, tmp_path: Path) -> None:
    rows = "file,species,kind,who\n"
    for i, picture in enumerate(sorted((finished.parent / "data").glob("*/*.png"))):
        rows += f"{picture},{picture.parent.name},{'ab'[i % 2]},{i // 2}\n"
    table = tmp_path / "labels.csv"
    table.write_text(rows, encoding="utf-8")
    config = tmp_path / "a.yaml"
    config.write_text(f"data: {table}\nlabel-column: species\nbackbone: builtin\n", encoding="utf-8")
    assert asked("--config", config).data == f"{table}#label=species"
    assert asked("--config", config, "--label-column", "kind").data == f"{table}#label=kind"
    assert asked("--config", config, "--group-column", "who").data == f"{table}#label=species&group=who"
    config.write_text(f"data: {table}\nbackbone: builtin\ncolumns: {{label_column: species}}\n", encoding="utf-8")
    run = asked("--config", config)
    (tmp_path / "run.json").write_text(run.model_dump_json(), encoding="utf-8")
    assert asked("--config", tmp_path / "run.json") == run
    assert asked("--config", tmp_path / "run.json", "--label-column", "kind").data == f"{table}#label=kind"
    other = tmp_path / "more.csv"
    other.write_text(rows, encoding="utf-8")
    assert asked(other, "--config", config).data == f"{other}#label=species"


FILES = {
    "a.toml": """
        data = "mnist5k"
        method = "vpt:epochs=3"
        num-prompts = 7
        seed = 2
        track = ["tensorboard"]
        [recipe]
        lr = 0.25
        [protocol]
        val-fraction = 0.1
        """,
    "a.yaml": """
        data: mnist5k
        method: {name: vpt, num_prompts: 7}
        epochs: 3
        lr: 25e-2
        seed: 2
        track: [tensorboard]
        val_fraction: 0.1
        """,
    "a.json": """{"data": "mnist5k", "method": "vpt", "num_prompts": 7, "epochs": 3, "lr": 0.25, "seed": 2,
        "track": ["tensorboard"], "val_fraction": 0.1}""",
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_says_the_same(name: str, asked, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\n".join(line.strip() for line in FILES[name].splitlines()), encoding="utf-8")
    chosen = {"fields": {"num_prompts": 7}, "recipe": {"epochs": 3, "lr": 0.25}, "protocol": {"val_fraction": 0.1}}
    expected = RunConfig.resolve("mnist5k", None, "vpt", **chosen, seed=2, trackers=("tensorboard",))
    assert asked("--config", tmp_path / name) == expected
    assert asked("digits", "--config", tmp_path / name, "--epochs", "4").recipe.epochs == 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("epoch: 3", "There is no setting in FILE named 'epoch': did you mean epochs?"),
        ("label: kind", "did you mean label_column or label_separator or label_smoothing or label_words?"),
        ("recipe: {epoch: 3}", "There is no setting of the recipe in FILE named 'epoch': did you mean epochs?"),
        ("method: {name: spt, prompt: 3}", "prompt"),
        ("epochs: 3\nrecipe: {epochs: 4}", "FILE says epochs twice: leave one out"),
        ("epochs: 3\nlr: 0.1\nepochs: 4", "FILE says epochs twice: leave one out"),
        ("val-fraction: 0.3\nval_fraction: 0.4", "FILE says val_fraction twice: leave one out"),
        ("recipe: {lr: 1, epochs: 3, lr: 2}", "FILE says lr twice: leave one out"),
        ("epochs: 0", "--epochs 0 is out of range"),
        ("seed: 1.7", "FILE is damaged (seed: Input should be a valid integer"),
        ("seed: many", "FILE is damaged (seed"),
        ("backbone: 3", "FILE is damaged (backbone"),
        ("method: [spt]", "FILE is damaged (method"),
        ("recipe: fast", "FILE is damaged (recipe"),
        ("- epochs", "FILE is damaged (it holds no settings by name)"),
        ("epochs: [3", "FILE is damaged (while parsing"),
        ("data: mnist5k\nwhole: true", "FILE is of a run within a comparison or a search"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, sentence: str, fails, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    said = fails("tune", "mnist5k", "--config", tmp_path / "a.yaml")
    assert sentence.replace("FILE", str(tmp_path / "a.yaml")) in said


def test_json_that_says_something_twice_is_refused(fails, tmp_path: Path) -> None:
    for text in ('{"epochs": 3, "epochs": 4}', '{"recipe": {"lr": 1, "lr": 2}}'):
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        assert "twice: leave one out" in fails("tune", "mnist5k", "--config", tmp_path / "a.json")


def test_a_file_that_is_none_and_a_run_that_is_resumed(fails, finished: Path, tmp_path: Path) -> None:
    assert "must end in .yaml, .toml or .json" in fails("tune", "--config", tmp_path / "run.ini")
    assert "give a file of settings, or a run's run.json" in fails("tune", "--config", tmp_path / "none.yaml")
    assert "leave --config out" in fails("tune", "--resume", finished, "--config", finished / "run.json")
    assert read_settings(finished / "run.json").method == "spt"


def test_a_file_may_leave_the_choice_of_the_probe_to_validation(asked, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("data: mnist5k\nbackbone: builtin\nmethod: auto:num_prompts=5\n", encoding="utf-8")
    own = asked("--config", file)
    assert (own.method.name, own.method.num_prompts, own.or_probe, own.recipe.epochs) == ("spt", 5, True, 12)
    (tmp_path / "run.json").write_text(own.model_dump_json(), encoding="utf-8")
    assert asked("--config", tmp_path / "run.json") == own
    plain = asked("--config", tmp_path / "run.json", "--method", "spt")
    assert plain == own.model_copy(update={"or_probe": False})
    other = asked("--config", tmp_path / "run.json", "--method", "vpt")
    assert (other.method.name, other.or_probe, other.recipe.epochs) == ("vpt", False, 100)
    assert asked("--config", file, "--no-probe") == own.model_copy(update={"or_probe": False, "probe": False})
