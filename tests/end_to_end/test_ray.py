"""A comparison on a local cluster of two workers, one of which is lost in the middle."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from selfprompt.comparison.compare import Comparison, compare, protocol_of
from selfprompt.comparison.workers import Workers
from selfprompt.errors import UserError

pytestmark = pytest.mark.slow
METHODS = ["linear", "vpt"]
# a machine that answers no longer is missed after a second, not after half a minute; one that is slow is waited for
MISSED = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
COSTS = ("seconds", "peak_memory_bytes")


def settings(folder: Path, weights: Path) -> Comparison:
    recipe = {"epochs": 4, "batch_size": 4}
    protocol = protocol_of(str(weights))
    return Comparison(
        data=str(folder), backbone=str(weights), protocol=protocol, recipe=recipe, fields={"num_prompts": 3}, trials=2
    )


def results(out: Path) -> list[dict]:
    rows = json.loads((out / "table.json").read_text(encoding="utf-8"))["results"]
    return [{k: v for k, v in row.items() if k not in COSTS} for row in rows]


def test_a_lost_worker_loses_nothing(folder: Path, weights: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    comparison = settings(folder, weights)
    compare(comparison, METHODS, tmp_path / "here", seeds=1)

    out = tmp_path / "ray"
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": MISSED}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        first, _ = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        with pytest.raises(UserError, match="has no nothing"):
            Workers(on="ray").run([bad_unit(folder, weights, tmp_path / "bad")])
        lost: list[float] = []

        def lose() -> None:
            while not list(out.rglob("trial-*/checkpoint.pt")):
                time.sleep(0.02)
            cluster.remove_node(first, allow_graceful=False)
            lost.append(time.monotonic())

        thread = threading.Thread(target=lose)
        thread.start()
        compare(comparison, METHODS, out, seeds=1, workers=Workers(on="ray"))
        ended = time.monotonic()
        thread.join()
        assert lost[0] < ended
        assert sum(node["Alive"] for node in ray.nodes()) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert results(out) == results(tmp_path / "here")


def bad_unit(folder: Path, weights: Path, out: Path):
    from selfprompt.comparison.compare import choose
    from selfprompt.comparison.workers import Unit

    return Unit("bad", choose, (settings(folder, weights), out, "linear:nothing=1"))
