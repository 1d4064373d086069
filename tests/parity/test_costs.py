"""What a step computes and holds, counted; a count is the same on every machine, and bounds what a clock can say."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def counted() -> Any:
    """A case's counts by name and precision, on a ViT of the published shape but for its width."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import counts  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(BENCHMARKS))
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
