"""What runs on the same data need of it, made once and handed from one to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from selfprompt.data.batches import Decoded, fits
from selfprompt.data.datasets import Dataset, Splits
from selfprompt.data.examples import Examples
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.sources import load_located
from selfprompt.data.tables import Kind
from selfprompt.watch import stage


class Material:
    """Data sets, and images as their protocols have them: whoever holds it holds them in memory.

    Args:
        datasets: What is read already.
        times: How many times as many images a part stands for, which are decoded whenever they are asked for where
            so many are.
    """

    def __init__(
        self, datasets: Mapping[str, Dataset] | None = None, times: Mapping[str, float] | None = None
    ) -> None:
        self._datasets: dict[str, Dataset] = dict(datasets or {})
        self._times = times or {}
        self._decoded: dict[tuple[str, str, str], Decoded] = {}

    def dataset(self, data: str, inputs: Kind) -> Dataset:
        """See `load_located`."""
        if data not in self._datasets:
            with stage("reading"):
                self._datasets[data] = load_located(data, inputs)
        return self._datasets[data]

    def decoded(
        self, part: str, examples: Examples, splits: Splits, protocol: BaseProtocol, **options: Any
    ) -> Decoded:
        """The images of one part of some splits; ``options`` as of `Decoded`."""
        key = (part, json.dumps(splits.record), protocol.model_dump_json())
        held = self._decoded.get(key)
        if held is None or held.augmented:
            keep = fits(protocol.view(), round(self._times.get(part, 1) * len(examples)))
            held = self._decoded[key] = Decoded(examples, protocol, keep=keep, **options)
        return held
