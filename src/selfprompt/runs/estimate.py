"""What a run will take, measured on a few of its examples."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selfprompt import watch
from selfprompt.adapters.format import WEIGHTS_NAME
from selfprompt.errors import UserError
from selfprompt.runs.config import RunConfig, starting
from selfprompt.runs.material import Material
from selfprompt.runs.rehearsal import rehearsal, sampled, scaled, size
from selfprompt.runs.timer import Timer
from selfprompt.runs.tune import FIRST, tune
from selfprompt.runs.unnamed import AUTO
from selfprompt.tuning.engine import Engine

LONG = 20.0  # seconds of training steps after which a rehearsal has seen enough
REST = "everything else"

Then = Callable[[Path], object]
"""What is done with a run's folder in the end, and takes time, too."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take on this machine.

    Args:
        epochs: Of all its stages.
        steps: Of one epoch.
        once: Seconds by what they go to, besides the epochs.
        epoch: Seconds of one epoch, by what they go to.
        after: Of those of ``once``, seconds of what comes after training.
        peak_memory_bytes: As metrics.json has them.
        trainable_parameters, total_parameters: Of the model.
        adapter_bytes: Of the file of its weights.
    """

    epochs: int
    steps: int
    once: dict[str, float]
    epoch: dict[str, float]
    after: float
    peak_memory_bytes: int
    trainable_parameters: int
    total_parameters: int
    adapter_bytes: int

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by what they go to, the longest first."""
        every = self.once | {name: self.epochs * seconds for name, seconds in self.epoch.items()}
        return dict(sorted(every.items(), key=lambda part: -part[1]))

    def to_dict(self) -> dict[str, Any]:
        """What ``selfprompt tune --estimate --json`` prints."""
        names = ("epochs", "steps", "peak_memory_bytes", "trainable_parameters", "total_parameters", "adapter_bytes")
        return {"seconds": self.seconds, "parts": self.parts, **{name: getattr(self, name) for name in names}}


def estimate(data: str | None = None, backbone: str | None = None, method: str = AUTO, **settings: Any) -> Estimate:
    """What a run of ``selfprompt tune`` would take on this machine.

    The run is made on a few examples, in a folder that is removed, and each of its parts is scaled up: decoding,
    prototypes, epochs, test, probe and analysis; what is read, loaded and written once is counted as it is. At most
    some 20 seconds of it are training steps, but two of them at least.

    Args:
        data, backbone, method: As for ``selfprompt tune``.
        **settings: Of `RunConfig.resolve`, such as ``recipe={"epochs": 20}``.

    Raises:
        UserError: The run cannot be made.
    """
    return price(RunConfig.resolve(data, backbone, method, **settings), Material())


def price(
    config: RunConfig,
    material: Material,
    begun: float | None = None,
    then: Then | None = None,
    budget: float = math.inf,
) -> Estimate:
    """`estimate`, of a configuration; the run that it starts from is counted in.

    Args:
        config: The run.
        material: What reads its data.
        begun: When the command that asks began, by `watch.clock`.
        then: See `Then`.
        budget: Seconds from ``begun`` that the run may take; a rehearsal trains for a quarter of them at most.

    Raises:
        UserError: The budget is over before a step could be timed.
    """
    begun = watch.clock() if begun is None else begun
    engine = Engine(config.recipe.precision)
    with ExitStack() as held, watch.stage("rehearsal"):
        name = engine.from_main(lambda: held.enter_context(TemporaryDirectory(prefix="selfprompt-")))
        folder, before = Path(name) / "run", config.before()
        if before is None:
            return rehearsed(config, material, folder, begun, then, budget)
        first = rehearsed(before, material, folder / FIRST, begun, None, budget)
        method = starting(config.method, str(folder / FIRST))
        last = config.model_copy(update={"method": method, "first": None})
        own = rehearsed(last, material, folder, now := watch.clock(), then, budget - (now - begun))
    once = {name: own.once.get(name, 0.0) + first.parts.get(name, 0.0) for name in own.once | first.parts}
    return replace(own, once=once, peak_memory_bytes=max(own.peak_memory_bytes, first.peak_memory_bytes))


def rehearsed(
    config: RunConfig, material: Material, folder: Path, begun: float, then: Then | None, budget: float
) -> Estimate:
    """`price`, of a run that starts from no other; it is rehearsed in a folder."""
    small, counts, few = sampled(material.dataset(config.data, config.protocol.inputs), config)
    times = {name: counts[name] / few[name] for name in counts}
    some = Material({config.data: small}, times | {"whole": times["train"]})
    start, timer = watch.clock() - begun, Timer()

    def ends(share: float) -> bool:
        if watch.clock() - begun >= budget:
            raise UserError("--budget is over before training could be timed: give several times as much.")
        return timer.enough("training", min(LONG, budget / 4))

    with watch.watched(timer), unsaid():
        made = tune(rehearsal(config), folder, material=some, ends=ends)
        if then:
            with watch.stage("report"):
                then(folder)
    timer.stop()

    epochs = sum(stage.epochs for stage in config.method.stages(config.recipe))
    trained = counts["train"] + (counts["val"] if config.whole else 0)
    steps = max(1, trained // config.recipe.batch_size)
    seconds = scaled(timer, config, counts, few, epochs, steps)
    own = ("training", "validation") if epochs else ()
    epoch = {name: seconds.pop((False, name), 0.0) / epochs for name in own}
    once = {"start": start, REST: timer.besides(False) + timer.besides(True)}
    for (_, name), taken in seconds.items():
        once[name] = once.get(name, 0.0) + taken
    after = sum(taken for (tested, _), taken in seconds.items() if tested) + timer.besides(True)
    peak = made.metrics["peak_memory_bytes"]
    if Engine(config.recipe.precision).device.type == "cpu":
        peak += size(config, counts) - size(config, few)
    numbers = made.metrics["trainable_parameters"], made.metrics["total_parameters"]
    return Estimate(epochs, steps, once, epoch, after, peak, *numbers, (folder / WEIGHTS_NAME).stat().st_size)


@contextmanager
def unsaid() -> Iterator[None]:
    """Inside, no notice is logged: it would count a few examples, and the run itself has its own."""
    logger = logging.getLogger("selfprompt")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def spoken(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
