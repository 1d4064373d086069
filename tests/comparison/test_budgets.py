"""What stands beside a number: how long was trained, where trials are scored, and in which precision."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from selfprompt.comparison import bench as room
from selfprompt.comparison.compare import Comparison, choose, final, protocol_of, row
from selfprompt.comparison.rows import COLUMNS
from selfprompt.comparison.suites import Suite
from selfprompt.reports.table import footer, markdown
from selfprompt.runs.config import RunConfig
from selfprompt.tuning.fit import Result


def comparison(folder: Path, weights: Path, **protocol: Any) -> Comparison:
    recipe = {"epochs": 4, "batch_size": 8, "lr": 0.3, "precision": "float32"}
    settings = protocol_of(str(weights), **protocol)
    return Comparison(data=str(folder), backbone=str(weights), protocol=settings, recipe=recipe, trials=1)


@pytest.mark.parametrize(("last", "scored"), [("train", 90.0), ("train+val", 80.0)])
def test_a_trial_is_scored_at_the_epoch_at_which_final_runs_are_tested(
    last: str, scored: float, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [{"val_accuracy": accuracy, "val_loss": 1.0} for accuracy in (60.0, 90.0, 80.0)]

    def tune(config: RunConfig, *rest: object, **more: Any) -> Result:
        assert not config.test
        return Result({"best_epoch": 3 if config.protocol.selection == "last" else 2}, history, None)

    monkeypatch.setattr("selfprompt.comparison.compare.tune", tune)
    chosen = choose(comparison(folder, weights, final=last), tmp_path, "linear")
    assert chosen["trials"][0]["val_accuracy"] == scored


def test_a_row_says_how_long_it_trained_and_in_which_precision(folder: Path, weights: Path, tmp_path: Path) -> None:
    made, rows = comparison(folder, weights, final="train+val"), []
    for spec in ("vpt:num_prompts=3", "pc:num_prompts=3", "e2vpt:num_prompts=3:prune_tokens=0.4"):
        chosen = choose(made, tmp_path, spec)
        rows.append(row(spec, chosen, [final(made, tmp_path, spec, chosen, 0)]))
    lines = markdown(COLUMNS, rows).splitlines()[2:]
    assert ["(trained 2x)" in line for line in lines] == [False, False, True]
    assert all("| fresh_average | float32 |" in line for line in lines)


@pytest.mark.parametrize("spec", ["vpt", "linear", "vpt:frozen_prompts=true"])
def test_a_heads_rate_is_searched_where_it_is_given(
    spec: str, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[RunConfig] = []

    def tune(config: RunConfig, *rest: object, **more: object) -> Result:
        runs.append(config)
        off = [abs(math.log10(rate / 0.03)) for rate in (config.recipe.lr, config.recipe.head_lr or 0.03)]
        counts = dict.fromkeys(("best_epoch", "trainable_parameters", "total_parameters", "peak_memory_bytes"), 1)
        counts["test_images"] = 1
        said = {"test_accuracy": 50.0, "seconds": 1.0, "protocol": "p", "precision": "float32"}
        described = {"recipe": config.recipe.model_dump(), "method_fields": config.method.describe()}
        return Result(counts | said | described, [{"val_accuracy": 90 - 10 * sum(off), "val_loss": 1.0}], None)

    monkeypatch.setattr("selfprompt.comparison.compare.tune", tune)
    made = comparison(folder, weights, final="train+val")
    made = made.model_copy(update={"trials": 14, "recipe": made.recipe | {"head_lr": 0.3}})
    chosen = choose(made, tmp_path, spec)
    found = row(spec, chosen, [final(made, tmp_path, spec, chosen, 0)])
    best: dict[str, Any] = {**found}
    two = spec == "vpt"
    assert (runs[0].recipe.lr, runs[0].recipe.head_lr) == (0.3, 0.3 if two else None)
    assert (runs[-1].recipe.lr, runs[-1].recipe.head_lr) == pytest.approx((0.03, 0.03 if two else None))
    for name in ("lr", "head_lr") if two else ("lr",):
        assert best[name] == pytest.approx(0.03)
        assert not best[f"{name}_at_the_end_of_what_was_tried"]
    assert (", head 0.03 |" in markdown(COLUMNS, [found])) == two


def test_precisions_do_not_mix_without_a_word() -> None:
    assert footer({"protocol": "p", "precision": "float32"}) == "protocol p, float32"
    assert "bf16 and float32 (rows of two precisions" in footer({"protocol": "p", "precision": "bf16 and float32"})
    assert footer({"protocol": "p"}) == "protocol p"  # a table of before


def test_tasks_seen_in_pretraining_count_nowhere(
    monkeypatch: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    better = {"linear": {"a": 90.0, "b": 50.0}, "full": {"a": 60.0, "b": 60.0}}
    precisions = {"a": "bf16", "b": "float32"}

    def measure(work: list[tuple[Comparison, Path, str]], *rest: object) -> list[dict[str, Any]]:
        return [measured(spec, better[spec][c.data], precisions[c.data]) for c, _, spec in work]

    def measured(spec: str, accuracy: float, precision: str) -> dict[str, Any]:
        counts = dict.fromkeys(("trainable_parameters", "total_parameters", "seconds", "peak_memory_bytes", "lr"), 1)
        said = {"method": spec, "precision": precision, "readout": "backbone", "seeds": 1, "budget": 1.0}
        ends = {"lr_at_the_end_of_what_was_tried": False, "weight_decay": 0.0}
        accuracies = {"test_accuracy_mean": accuracy, "test_accuracy_std": 0.0, "test_accuracies": [accuracy]}
        return counts | said | ends | accuracies

    monkeypatch.setattr(room, "measure", measure)
    monkeypatch.setattr(room, "load_located", lambda data: None)
    monkeypatch.setattr("selfprompt.runs.config.locate", lambda data: data)
    monkeypatch.setattr(room, "seen_in_pretraining", lambda backbone, data: data == "a")
    suite = Suite("two", {"group": ("a", "b")}, str(weights))
    table = room.bench(suite, ["linear", "full"], tmp_path)
    assert table["results"][0]["tasks_above_full"] == 0
    assert "| 0 of 1 |" in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert table["precision"] == "bf16 and float32"


def test_a_row_names_what_its_prompts_start_from_as_it_was_asked(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Any] = []

    def tune(config: RunConfig, *rest: object, **more: object) -> Result:
        starts.append(config.method.describe()["start"])
        said = {"test_accuracy": 50.0, "seconds": 1.0, "protocol": "p", "precision": "float32", "test_images": 1}
        said |= dict.fromkeys(("best_epoch", "trainable_parameters", "total_parameters", "peak_memory_bytes"), 1)
        described = {"recipe": config.recipe.model_dump(), "method_fields": config.method.describe()}
        return Result(said | described, [{"val_accuracy": 50.0, "val_loss": 1.0}], None)

    monkeypatch.setattr("selfprompt.comparison.compare.tune", tune)
    made = comparison(folder, weights, final="train+val").model_copy(update={"starts": {"known": "/far/away"}})
    spec = "vpt:start=known"
    chosen = choose(made, tmp_path, spec)
    assert row(spec, chosen, [final(made, tmp_path, spec, chosen, 0)])["method_fields"]["start"] == "known"
    assert set(starts) == {"/far/away"}
