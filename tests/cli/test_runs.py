"""A run's own files, flags beside --resume, and names of every kind."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from conftest import held, write_image
from selfprompt import cli
from selfprompt.cli import console
from selfprompt.cli import list as listing_command
from selfprompt.errors import UserError
from selfprompt.tuning.run import RunConfig, default_folder, tune

FILES = ("run.json", "metrics.json", "log.jsonl", "adapter_config.json", "adapter_model.safetensors")
OTHERS = {"--method": "vpt", "--backbone": "x.pth", "--seed": "0", "--out": "other", "--image-size": "32"} | {
    **{"--epochs": "2", "--track": "tensorboard", "--val-fraction": "0.2", "--num-prompts": "3"},
}


def call(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["selfprompt", *map(str, arguments)])
    cli.main()


def works(monkeypatch, *arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, *arguments)
    assert stop.value.code == 0


@pytest.fixture
def fails(monkeypatch, capsys):
    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            call(monkeypatch, *arguments)
        said = capsys.readouterr()
        assert stop.value.code == 2, said.err
        assert said.out == ""
        assert said.err.count("error: ") == 1
        return said.err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    root = tmp_path_factory.mktemp("finished")
    for label, name in enumerate(("ant", "bee")):
        for index in range(10):
            write_image(root / "data" / name / f"{index}.png", label, index)
    recipe = {"epochs": 1, "batch_size": 8}
    config = RunConfig.resolve(
        str(root / "data"), str(weights), "spt", fields={"num_prompts": 2}, recipe=recipe, probe=False
    )
    tune(config, root / "run", command="selfprompt tune data")
    return root / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("flag", [*OTHERS, "--no-probe", "--probe", "--compile", "DATA"])
def test_resume_refuses_every_other_flag(flag: str, run: Path, fails) -> None:
    given = [run.parent] if flag == "DATA" else [flag, OTHERS[flag]] if flag in OTHERS else [flag]
    assert f"leave {flag.replace('--no-', '--')}" in fails("tune", "--resume", run, *given)


def test_resume_of_a_finished_run_says_it_again(run: Path, monkeypatch, capsys) -> None:
    works(monkeypatch, "tune", "--resume", run, "--json")
    assert json.loads(capsys.readouterr().out) == json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert (run / "command.txt").read_text(encoding="utf-8") == "selfprompt tune data\n"
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("damage", ["cut", "empty", "binary", "type"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_a_run(name: str, damage: str, run: Path, fails) -> None:
    whole = (run / name).read_bytes()
    broken = {"cut": whole[: len(whole) // 2], "empty": b"", "binary": b"\xff\xfe" + whole, "type": b"[1]\n"}
    (run / name).write_bytes(broken[damage])
    said = fails("report", run)
    assert name in said
    assert "damaged" in said
    if name in ("run.json", "metrics.json", "log.jsonl"):
        assert f"{name} is damaged" in fails("tune", "--resume", run)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("run.json", {"recipe": {"epochs": "many"}}),
        ("run.json", {"method": {}}),
        ("run.json", {"seed": -1}),
        ("metrics.json", {"test_accuracy": "high"}),
        ("metrics.json", {"best_epoch": None}),
        ("adapter_config.json", {"format": "one"}),
        ("adapter_config.json", {"method": {"name": ["spt"]}}),
        ("adapter_config.json", {"class_names": ["ant"]}),
        ("adapter_config.json", {"sources": [[[0, 0]], []]}),
        ("adapter_config.json", {"num_classes": -2}),
    ],
)
def test_wrong_values_in_files_of_a_run(name: str, changes: dict, run: Path, fails) -> None:
    found = json.loads((run / name).read_text(encoding="utf-8"))
    (run / name).write_text(json.dumps(found | changes), encoding="utf-8")
    assert f"{name} is damaged" in fails("report", run)


def test_damaged_files_of_a_comparison(folder: Path, weights: Path, tmp_path: Path, fails) -> None:
    compare = ("compare", folder, "--backbone", weights, "--methods", "linear", "--out", tmp_path, "--epochs", 1)
    for contents in (b"", b"{", b"[]", b"\xff"):
        (tmp_path / "comparison.json").write_bytes(contents)
        assert "comparison.json is damaged" in fails(*compare)
        (tmp_path / "table.json").write_bytes(contents)
        assert "table.json is damaged" in fails("report", tmp_path)
    for table in ({"results": []}, {"benchmark": "mini"}, {"protocol": "a", "dataset": "b", "results": [{}]}):
        (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
        assert "table.json is damaged" in fails("report", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tune", "--seed", -1), "--seed -1 is out of range"),
        (("tune", "--seed", 2**40), "is out of range"),
        (("tune", "--image-size", 0), "--image-size 0 is out of range"),
        (("tune", "--image-size", -32), "--image-size -32 is out of range"),
        (("tune", "--lr", "nan"), "--lr nan is out of range"),
        (("tune", "--lr", "inf"), "--lr inf is out of range"),
        (("tune", "--num-prompts", 0), "num_prompts=0"),
        (("tune", "--prompt-rms", "inf"), "prompt_rms=inf"),
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
        (("compare", "--seed", -1), "--split-seed -1 is out of range"),
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


def test_names_that_are_not_utf8(run: Path, folder: Path, monkeypatch, fails, capsys) -> None:
    odd = os.fsdecode(os.fsencode(folder.parent) + b"/stra\xdfe.png")
    shutil.copy(folder / "ant" / "0.png", odd)
    works(monkeypatch, "predict", run, odd, "--json")
    assert json.loads(capsys.readouterr().out)["predictions"][0]["image"] == odd
    shutil.copy(folder / "ant" / "0.png", os.fsencode(folder / "ant") + b"/stra\xdfe.png")
    out = folder.parent / "out"
    works(monkeypatch, "tune", folder, "--method", "linear", "--epochs", 1, "--out", out)
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
        console.report({"names": names, "share": float("nan")}, json_wanted, " ".join(names))
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


def test_what_libraries_print_is_no_part_of_the_json(monkeypatch, capsys) -> None:
    monkeypatch.setattr(listing_command, "KINDS", {"methods": (lambda: print("chatter") or [], {})})
    works(monkeypatch, "list", "methods", "--json")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"names": []}
    assert "chatter" in said.err
    works(monkeypatch, "list", "--help")
    assert "Usage" in capsys.readouterr().out
