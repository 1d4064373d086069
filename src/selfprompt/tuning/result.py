"""What a fit gives back."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from selfprompt.scores.asked import WORDS
from selfprompt.tuning.records import Metrics, Tested


@dataclass(frozen=True, repr=False)
class Result:
    """What a run measured.

    Args:
        metrics: The contents of metrics.json (README, "What a run writes").
        history: A row for each epoch.
        output_dir: Where it was written; None if nowhere.
    """

    metrics: Metrics | Tested
    history: list[dict[str, float]]
    output_dir: Path | None

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {value}" for name, value in self.told().items())
        return f"Result({self.metrics['method']} on {self.metrics['dataset']}: {said})"

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        named = {"method": self.metrics["method"], "data": self.metrics["dataset"], **self.told()}
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in named.items())
        return f"<table>{rows}</table>"

    def told(self) -> dict[str, str]:
        """What people look at first, in words."""
        metrics, found = self.metrics, {}
        for name in ("test", "val"):
            if (accuracy := metrics.get(f"{name}_accuracy")) is not None:
                found[f"{name} accuracy"] = f"{accuracy:.2f} %"
        if (metric := metrics.get("metric")) and "scores" in metrics:
            found[f"test {WORDS[metric]}"] = f"{dict(metrics['scores'])[metric]:.2f} %"
        if metrics["best_epoch"]:
            found["best epoch"] = f"{metrics['best_epoch']} of {len(self.history)}"
        found["trained parameters"] = f"{metrics['trainable_parameters']:,} of {metrics['total_parameters']:,}"
        return found | ({} if self.output_dir is None else {"folder": str(self.output_dir)})
