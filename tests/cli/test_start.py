"""What needs no numbers waits for no library of numbers; flags are the fields of the models that they set."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import selfprompt as sp
from selfprompt.cli import COMMANDS
from selfprompt.data.protocol import ImageSettings, Selection, Split
from selfprompt.methods.fields import TokenFields
from selfprompt.methods.recipe import Recipe
from selfprompt.pretraining.config import ClipConfig, PretrainConfig

LINES = {
    0: [
        ["--help"],
        ["--version"],
        ["list", "methods"],
        ["list", "datasets"],
        ["list", "adaptations"],
        *([name, "--help"] for name in COMMANDS),
    ],
    2: [
        ["tun"],
        ["tune", "--epoch", "3"],
        ["tune", "--epochs", "0"],
        ["tune", "--lr", "fast"],
        ["tune", "--seed", "1.7"],
        ["compare", "--trials", "0"],
        ["compare", "--study", "none"],
        ["bench", "none"],
        ["bench", "mini", "--preset", "none"],
        ["pretrain", "a", "--out", "b", "--width", "1"],
        ["pretrain", "a", "--out", "b", "--kind", "clip", "--mask-ratio", "0.5"],
        ["analyse", "a", "b", "--images", "0"],
        ["predict", "a", "b", "--on-error", "none"],
        ["predict", "a", "b", "--top-k", "0"],
        ["predict", "a", "b", "--threshold", "2"],
        ["embed", "a", "b"],
        ["embed", "a", "b", "--out", "c.npz", "--image-size", "0"],
        ["evaluate", "a"],
        ["evaluate", "a", "b", "--adapt", "none"],
        ["predict", "a", "b", "--adapt", "tpt:views"],
        ["serve"],
        ["serve", "a"],
        ["serve", "../a=b"],
        ["serve", "a=b", "a=c"],
        ["serve", "a=b", "--host", "0.0.0.0"],
        ["serve", "a=b", "--max-batch", "0"],
        ["studio", "--port", "70000"],
        ["studio", "--port", "x"],
    ],
}

QUICK = {
    0: [["list", "methods"], ["list", "datasets"], ["list", "methods", "--json"]],
    2: [["tun"], ["list"], ["list", "nothing"], ["list", "methods", "--seed", "1.7"], ["push", "--sed", "1"]],
}

NUMBERS = ("torch", "timm", "sklearn", "accelerate", "matplotlib", "numpy", "PIL", "jaxtyping")

DRIVER = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
import selfprompt
from selfprompt.cli import main
wrong = []
for status, lines in json.loads(sys.argv[1]).items():
    for line in lines:
        sys.argv, said = ["selfprompt", *line], StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        if code != int(status):
            wrong.append([line, code, said.getvalue()])
print(json.dumps([wrong, selfprompt.describe("spt").name, list(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("lines", "unneeded"),
    [
        (LINES, NUMBERS),
        ({0: [["--help"], ["--version"]]}, (*NUMBERS, "pydantic", "filelock", "importlib.metadata")),
        (
            {2: [["tune", "--epoch", "3"], ["doctor", "--sed", "1"]]},
            (*NUMBERS, "rich", "filelock", "importlib.metadata"),
        ),
        (QUICK, (*NUMBERS, "pydantic", "rich", "filelock", "importlib.metadata")),
    ],
)
def test_help_listings_and_refusals_import_nothing_heavy(lines: dict, unneeded: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", DRIVER, json.dumps(lines)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    wrong, name, modules = json.loads(done.stdout.splitlines()[-1])
    assert (wrong, name) == ([], "spt")
    assert not set(unneeded) & set(modules)


def test_public_names_are_there() -> None:
    names: dict[str, object] = {}
    exec("from selfprompt import *", names)
    assert {"fit", "load", "Protocol", "UserError"} < set(sp.__all__) <= set(names) & set(dir(sp))
    assert all(names[name] is getattr(sp, name) for name in sp.__all__)
    with pytest.raises(AttributeError):
        _ = sp.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "models"),
    [
        ("tune", (TokenFields, Recipe, ImageSettings, Split, Selection)),
        ("compare", (TokenFields, Recipe, ImageSettings, Split, Selection)),
        ("bench", (TokenFields, Recipe)),
        ("pretrain", (PretrainConfig, ClipConfig)),
    ],
)
def test_every_field_is_a_flag(command: str, models: tuple[type[BaseModel], ...], works, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = works(command, "--help")
    fields = {field for model in models for field in model.model_fields}
    if command == "tune":
        assert "--final " not in said  # of a search's last runs
        fields -= {"final"}
    if command != "pretrain":
        fields -= {"mean", "std", "value_range"}
    assert not {field for field in fields if f"--{field.replace('_', '-')} " not in said}


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", ".local/share/bash-completion/completions/selfprompt"), ("fish", "")]
)
def test_a_shell_completes_commands_and_flags(shell: str, file: str, works, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = Path(json.loads(works("--install-completion", shell, "--json"))["completion"])
    assert tmp_path in path.parents
    assert path == tmp_path / (file or ".config/fish/completions/selfprompt.fish")
    script = path.read_text(encoding="utf-8")
    assert {word for word in (*COMMANDS, "num-prompts", "top-k", "on-error") if word not in script} == set()


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_is_plain_english(command: tuple[str, ...], works) -> None:
    said = works(*command, "--help")
    assert "`" not in said
    entries = re.split(r"(?m)^│ +\*? *(?=--)", said)[1:]  # a flag, and what is said of it, to the next flag
    assert entries or not command
    for entry in entries:
        wrapped = entry.startswith(("--no-", "--empty-"))  # the second name of the flag above
        words = re.sub(r"--[\w-]+|\b[A-Z.]+\b", "", entry.partition("╰")[0])
        assert wrapped or re.search(r"[a-z]{2}", words), entry
