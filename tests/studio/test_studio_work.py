"""What runs is known from its folder, by whichever studio looks."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from conftest import held
from selfprompt.errors import UserError
from selfprompt.studio import work


def ended(folder: Path) -> work.State:
    while (state := work.state(folder)) == "running":
        time.sleep(0.05)
    return state


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own programs in the place of commands."""
    monkeypatch.setattr(work, "program", lambda words: [sys.executable, "-c", *words])


@pytest.mark.usefixtures("programs")
def test_a_run_is_begun_stopped_and_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    work.begin(["import time; time.sleep(600)"], folder)
    assert work.state(folder) == "running"
    with pytest.raises(UserError, match="stop it first"):
        work.begin(["pass"], folder)
    work.stop(folder)
    assert work.state(folder) == "failed"
    (folder / "run.json").write_text("{}", encoding="utf-8")
    assert work.state(folder) == "stopped"
    work.begin(["import sys; print('error: The data are gone: restore them.', file=sys.stderr); sys.exit(2)"], folder)
    assert ended(folder) == "stopped"
    assert work.said(folder) == "The data are gone: restore them."
    work.stop(folder)  # there is nothing to stop


@pytest.mark.usefixtures("programs")
def test_the_number_of_a_process_that_ended_is_no_process(tmp_path: Path) -> None:
    work.begin(["import time; time.sleep(600)"], tmp_path)
    text = (tmp_path / work.BEGUN).read_text(encoding="utf-8")
    begun = work.Begun.model_validate_json(text)
    other = begun.model_copy(update={"started": begun.started - 100})
    (tmp_path / work.BEGUN).write_text(other.model_dump_json(), encoding="utf-8")
    work.stop(tmp_path)
    assert work.state(tmp_path) == "failed"
    (tmp_path / work.BEGUN).write_text(text, encoding="utf-8")
    assert work.state(tmp_path) == "running"  # it was not stopped by the other's number
    work.stop(tmp_path)


def test_a_run_of_a_terminal_is_seen_at_work(tmp_path: Path) -> None:
    with held(tmp_path):
        assert work.state(tmp_path) == "running"
        with pytest.raises(UserError, match=r"stop it where it was started, with Ctrl-C\.$"):
            work.stop(tmp_path)
    assert work.state(tmp_path) == "adapter"


@pytest.mark.usefixtures("programs")
def test_a_command_answers_with_its_object_or_its_sentence() -> None:
    assert work.ask(["import sys; print('{\"a\": 1}'); sys.exit(2)"]) == {"a": 1}
    with pytest.raises(UserError, match=r"^No such flag\.$"):
        work.ask(["import sys; print('error: No such flag.', file=sys.stderr); sys.exit(2)"])


@pytest.mark.usefixtures("programs")
def test_a_command_that_nobody_waits_for_is_ended_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "place"
    program = "import pathlib, sys, tempfile, time; pathlib.Path(sys.argv[1]).write_text(tempfile.mkdtemp())"
    with pytest.raises(UserError, match="without a word"):
        work.ask([f"{program}; time.sleep(600)", str(place)], place.exists)
    assert place.read_text(encoding="utf-8")
    assert not Path(place.read_text(encoding="utf-8")).parent.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"words": [], "pid": 0, "started": 1}', f'{{"pid": {10**30}}}'])
def test_what_is_known_of_a_process_may_be_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / work.BEGUN).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"studio\.json is damaged .*: remove it\.$"):
        work.state(tmp_path)


def test_a_shown_command_is_one_for_a_shell() -> None:
    assert work.shown(["tune", "my photos", "--out", "a;b"]) == "selfprompt tune 'my photos' --out 'a;b'"


def test_a_run_that_was_stopped_before_its_test_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    for accuracy, state in ((None, "stopped"), (50.0, "done")):
        (tmp_path / "metrics.json").write_text(json.dumps({"test_accuracy": accuracy}), encoding="utf-8")
        assert work.state(tmp_path) == state
    (tmp_path / "metrics.json").write_text("{", encoding="utf-8")
    assert work.state(tmp_path) == "done"
