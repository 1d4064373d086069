"""What a step computes and holds, counted; a count is the same on every machine, and bounds what a clock can say."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def counts() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import counts  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(BENCHMARKS))
    return counts


@pytest.fixture(scope="module")
def counted(counts: Any) -> Any:
    """A case's counts by name and precision, on a ViT of the published shape but for its width."""
    common: dict[str, Any] = {"suite": "steps", "compile": False, "batches": 1, "precisions": "float32,bf16"}
    args = Namespace(model="vit_small_patch16_224", size=224, batch=2, **common)
    return lambda case, precision="float32": counts.measure(args, f"{case}, {precision}")


def test_a_step_computes_less_than_two_forward_passes(counted: Any) -> None:
    forward, full = counted("frozen forward")["flop"], counted("full")["flop"]
    step = counted("vpt, 20 prompts")["flop"]
    assert step < 2 * forward
    assert step < 0.67 * full
    assert 1.15 * step < counted("reference, 20 prompts")["flop"]
    assert counted("vpt, 100 prompts")["flop"] < 1.1 * step


def test_folded_prompts_cost_no_more_than_their_columns(counted: Any) -> None:
    forward = counted("frozen forward")["flop"]
    assert counted("inference, 20 prompts")["flop"] <= 1.04 * forward
    assert counted("inference, 100 prompts")["flop"] <= 1.12 * forward


def test_frozen_matrices_are_held_once_and_in_bf16(counted: Any) -> None:
    cast, step = counted("reference, 20 prompts", "bf16"), counted("vpt, 20 prompts", "bf16")
    assert step["held"] < 0.7 * cast["held"]
    assert step["peak"] < 0.75 * cast["peak"]


def test_checkpointing_holds_one_block(counted: Any) -> None:
    kept, made = counted("vpt, 20 prompts"), counted("vpt, 20 prompts, checkpointing")
    assert made["peak"] - made["held"] < 0.3 * (kept["peak"] - kept["held"])


@pytest.mark.parametrize("suite", ["steps", "pool", "prototypes"])
def test_every_case_of_the_speed_suite_runs_in_bf16(suite: str, counts: Any) -> None:
    speed = counts.speed
    common: dict[str, Any] = {"suite": suite, "compile": False, "batches": 2, "precisions": "bf16"}
    args = Namespace(model="test_vit", size=160, batch=4, rounds=1, **common)
    with speed.OPEN:
        times = speed.measure(args)
    assert len(times) > 2
    assert all(name.endswith("bf16") and len(found) == 2 for name, found in times.items())


def test_the_speed_suite_says_when_compiling_is_earned_back(counts: Any) -> None:
    rows = {
        "vpt, 20 prompts, bf16": {"ms_per_image": 80.0, "first_ms_per_image": 100.0},
        "vpt, 20 prompts, compiled, bf16": {"ms_per_image": 70.0, "first_ms_per_image": 5100.0},
    }
    (said,) = counts.speed.earned_back(rows, "vpt, 20 prompts, bf16", "bf16", 8)
    assert "0.88 times" in said
    assert "40 s of compiling are earned back after 500 steps" in said
    slower = {name: row | {"ms_per_image": 150.0 - row["ms_per_image"]} for name, row in rows.items()}
    assert "never earned back" in counts.speed.earned_back(slower, "vpt, 20 prompts, bf16", "bf16", 8)[0]
