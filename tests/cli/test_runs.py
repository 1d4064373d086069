"""A run taken up again, flags beside --resume, and names of every kind."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from conftest import held
from selfprompt.cli import console
from selfprompt.cli import list as listing_command
from selfprompt.cli.tune import summary
from selfprompt.errors import UserError
from selfprompt.runs.config import RunConfig, read_run
from selfprompt.runs.tune import default_folder, tune

OTHERS = {"--method": "vpt", "--backbone": "x.pth", "--seed": "0", "--out": "other", "--image-size": "32"} | {
    **{"--epochs": "2", "--track": "tensorboard", "--val-fraction": "0.2", "--num-prompts": "3"},
}


@pytest.mark.parametrize("flag", [*OTHERS, "--no-probe", "--probe", "--compile", "DATA"])
def test_resume_refuses_every_other_flag(flag: str, run: Path, fails) -> None:
    given = [run.parent] if flag == "DATA" else [flag, OTHERS[flag]] if flag in OTHERS else [flag]
    assert f"leave {flag.replace('--no-', '--')}" in fails("tune", "--resume", run, *given)


def test_resume_of_a_finished_run_says_it_again(run: Path, works) -> None:
    assert json.loads(works("tune", "--resume", run, "--json")) == json.loads(
        (run / "metrics.json").read_text(encoding="utf-8")
    )
    assert (run / "command.txt").read_text(encoding="utf-8") == "selfprompt tune data\n"
    assert not list(run.glob(".*"))


def test_a_run_resumes_with_its_own_settings_alone(run: Path, fails) -> None:
    config = read_run(run)
    for other, differs in (({"seed": 3}, "seed 0, not 3"), ({"whole": True}, "whole False, not True")):
        with pytest.raises(UserError, match=f"was trained with {differs}: choose another output_dir"):
            tune(config.model_copy(update=other), run, resume=True)
    moved = config.model_copy(update={"data": "elsewhere", "test": False})
    assert tune(moved, run, resume=True).metrics["test_accuracy"] is not None
    (run / "run.json").write_text(moved.model_dump_json(), encoding="utf-8")
    assert "is a trial of a search" in fails("tune", "--resume", run)


def test_a_run_without_validation_is_summed_up(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert "validation accuracy" in summary(metrics, run)
    assert "validation accuracy" not in summary(metrics | {"val_accuracy": None}, run)
    asked = metrics["recipe"]["epochs"]
    assert f"best epoch {metrics['best_epoch']} of {asked}, " in summary(metrics, run)
    twice = metrics | {"epochs": asked + 2}
    assert f" of {asked + 2}, the first training's 2 among them" in summary(twice, run)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tune", "--seed", -1), "--seed -1 is out of range"),
        (("tune", "--seed", 2**40), "is out of range"),
        (("tune", "--image-size", 0), "--image-size 0 is out of range"),
        (("tune", "--image-size", -32), "--image-size -32 is out of range"),
        (("tune", "--lr", "nan"), "--lr nan is out of range"),
        (("tune", "--lr", "inf"), "--lr inf is out of range"),
        (("tune", "--lr", 1e39), "--lr 1e+39 is out of range"),
        (("tune", "--weight-decay", 1e39), "--weight-decay 1e+39 is out of range"),
        (("tune", "--clip-grad", 1e39), "--clip-grad 1e+39 is out of range"),
        (("tune", "--image-size", 8 * 10**30), "up to 16384"),
        (("tune", "--num-prompts", 0), "--num-prompts 0 is out of range"),
        (("tune", "--momentum", 1), "--momentum 1 is out of range"),
        (("tune", "--min-lr", -1), "--min-lr -1 is out of range"),
        (("tune", "--crop-fraction", 0), "--crop-fraction 0 is out of range"),
        (("tune", "--optimizer", "adam"), "--optimizer adam is not valid: Input should be 'adamw' or 'sgd'"),
        (("tune", "--epochs", 1.7), "--epochs 1.7 is not valid"),
        (("tune", "--num-prompts", 0.5), "--num-prompts 0.5 is not valid"),
        (("tune", "--seed", 0.5), "--seed 0.5 is not valid"),
        (("tune", "--image-size", 32.5), "--image-size 32.5 is not valid"),
        (("tune", "--train-images", 1.5), "--train-images 1.5 is not valid"),
        (("compare", "--trials", 1.7), "--trials 1.7 is not valid"),
        (("bench", "mini", "--jobs", 1.7), "--jobs 1.7 is not valid"),
        (("analyse", "a", "b", "--images", 1.7), "--images 1.7 is not valid"),
        (("list", "methods", "--seed", 1.7), "--seed 1.7 is not valid"),
        (("pretrain", "a", "--out", "b", "--depth", 1.7), "--depth 1.7 is not valid"),
        (("tune", "--method", "gatevpt:gate_init=-1e39"), "gate_init"),
        (("tune", "--prompt-rms", 1e30), "--prompt-rms 1e+30 is out of range"),
        (("tune", "--prompt-rms", "inf"), "--prompt-rms inf is out of range"),
        (("tune", "--val-fraction", "nan"), "--val-fraction nan is out of range"),
        (("tune", "--split-seed", -1), "--split-seed -1 is out of range"),
        (("tune", "--method", ""), "--method is empty"),
        (("tune", "--backbone", ""), "--backbone is empty"),
        (("tune", ""), "DATA is empty"),
        (("tune", "x" * 300), "cannot be used"),
        (("compare", "--methods", ""), "--methods has an empty name"),
        (("compare", "--methods", "linear,,spt"), "--methods has an empty name"),
        (("compare", "--methods", "linear, linear"), "--methods has linear twice"),
        (("compare", "--trials", 0), "--trials 0 is out of range"),
        (("compare", "--seeds", 0), "--seeds 0 is out of range"),
        (("compare", "--jobs", -1), "--jobs -1 is out of range"),
        (("compare", "--image-size", 0), "--image-size 0 is out of range"),
        (("compare", "--seed", -1), "--seed -1 is out of range"),
        (("compare", "--test-fraction", 2), "--test-fraction 2"),
        (("bench", "mini", "--trials", 0), "--trials 0 is out of range"),
        (("bench", "mini", "--methods", "spt,spt"), "--methods has spt twice"),
        (("analyse", "a", "b", "--images", 0), "--images 0 is out of range"),
    ],
)
def test_flags_out_of_range(arguments: tuple, sentence: str, tmp_path: Path, monkeypatch, fails) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in fails(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--lr", "nan"), "lr"),
        (("--seed", -1), "seed"),
        (("--decoder-width", 100), "multiples of 4"),
        (("--image-size", 8, "--patch-size", 8), "hides no patch"),
        (("--out", "."), "is a folder"),
        (("--out", "file/small.safetensors"), "file stands"),
    ],
)
def test_pretraining_out_of_range(more: tuple, sentence: str, folder: Path, monkeypatch, fails) -> None:
    monkeypatch.chdir(folder.parent)
    Path("file").write_bytes(b"")
    assert sentence in fails("pretrain", folder, *(() if "--out" in more else ("--out", "small.st")), *more)


def test_names_that_are_not_utf8(run: Path, folder: Path, works, fails) -> None:
    odd = os.fsdecode(os.fsencode(folder.parent) + b"/stra\xdfe.png")
    shutil.copy(folder / "ant" / "0.png", odd)
    assert json.loads(works("predict", run, odd, "--json"))["predictions"][0]["image"] == odd
    shutil.copy(folder / "ant" / "0.png", os.fsencode(folder / "ant") + b"/stra\xdfe.png")
    out = folder.parent / "out"
    works("tune", folder, "--method", "linear", "--epochs", 1, "--out", out)
    for name in ("run.json", "split.json", "predictions.csv", "report.html", "README.md", "adapter_config.json"):
        (out / name).read_text(encoding="utf-8")
    (folder / "ant").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    assert r"is not UTF-8: rename it" in fails("tune", folder)
    assert r"caf\xe9' is not UTF-8" in fails("tune", os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_console_takes_every_name(encoding: str, monkeypatch) -> None:
    for json_wanted in (False, True):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", out)
        console.any_letter()
        names = ["猫", "🐶", "stra\udcdfe"]
        console.emit({"names": names, "share": float("nan")}, json_wanted, " ".join(names))
        said = out.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        if json_wanted:
            assert json.loads(said) == {"names": names, "share": None}
        else:
            assert r"stra\udcdfe" in said


def test_default_folders_are_names_that_every_system_takes(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    config = RunConfig.resolve(".", "builtin", "linear")
    assert config.data == str(folder)  # found again from anywhere
    assert default_folder(config).name.startswith("data-linear-")
    for data in ("hf:owner/na:me@one#two", "/", "x" * 300, "..."):
        name = default_folder(config.model_copy(update={"data": data})).name
        assert len(name) < 100
        assert not set(name) & set(':/\\?*"<>|#@')
        assert name[0] not in ".-"


def test_what_another_process_works_on_is_refused_at_the_start(folder: Path, weights: Path, fails) -> None:
    root = folder.parent
    with held(root / "out"):
        (root / "out" / "run.json").write_text("{}", encoding="utf-8")
        short = ("--backbone", weights, "--epochs", 1, "--out", root / "out")
        for command in (("tune", folder), ("compare", folder), ("compare", folder, "--study", "share")):
            assert "Another selfprompt is at work in" in fails(*command, *short)
        with pytest.raises(UserError, match="Another selfprompt is at work"):
            tune(RunConfig.resolve(str(folder), str(weights), "linear"), root / "out", resume=True)
    assert sorted(path.name for path in (root / "out").iterdir()) == [
        ".selfprompt.lock",
        "run.json",
    ]  # as a kill leaves it
    (root / "partial").mkdir()
    with held(root / "partial" / "x", file=True):
        said = fails("pretrain", folder, "--out", root / "partial" / "x")
        assert "Another selfprompt is at work in" in said


def test_what_libraries_print_is_no_part_of_the_json(monkeypatch, call) -> None:
    monkeypatch.setattr(listing_command, "KINDS", {"methods": (lambda: print("chatter") or [], {})})
    _, out, errors = call("list", "methods", "--json")
    assert json.loads(out) == {"names": []}
    assert "chatter" in errors
    assert "Usage" in call("list", "--help")[1]
