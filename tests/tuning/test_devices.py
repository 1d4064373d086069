"""What an Apple GPU lacks is not asked of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode

from selfprompt.runs.config import RunConfig
from selfprompt.runs.tune import tune


class NoFloat64OnDevices(TorchFunctionMode):
    """Takes every tensor for one of a device without float64, unless it was just moved to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.on_host: list[torch.Tensor] = []
        self.asked = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.double:
            self.asked += 1
            assert any(args[0] is tensor for tensor in self.on_host), "float64 on the device"
        if func is torch.Tensor.to and args[0].dtype == torch.float64:
            assert not any(isinstance(a, torch.device) for a in (*args, *kwargs.values())), "float64 to the device"
        if kwargs.get("dtype") == torch.float64:
            assert kwargs.get("device") is None, "float64 made on the device"
        out = func(*args, **kwargs)
        if func is torch.Tensor.cpu:
            self.on_host.append(out)
        return out


@pytest.mark.parametrize("method", ["spt", "pc", "linear"])
def test_no_float64_on_the_device(method: str, folder: Path, weights: Path, tmp_path: Path) -> None:
    fields = {} if method == "linear" else {"num_prompts": 3}
    recipe = {"epochs": 2, "batch_size": 8}
    config = RunConfig.resolve(str(folder), str(weights), method, fields=fields, recipe=recipe, probe=False)
    with NoFloat64OnDevices() as seen:
        tune(config, tmp_path / "run")
    assert seen.asked
