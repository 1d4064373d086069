"""Devices, processes, precision and trackers. The only file that imports accelerate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, SharedDict
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn

from selfprompt.backbones.precision import frozen_matrices
from selfprompt.model import PromptedModel


class Engine:
    """One process's view of the machine: a thin wrapper of accelerate's `Accelerator`.

    Args:
        precision: ``auto``, ``float32`` or ``bf16``.
        trackers: Names of accelerate's trackers, such as ``tensorboard``.
        folder: Where trackers write.

    Attributes:
        device: Where this process computes.
        rank, world: This process's number, and how many there are.
        precision: ``float32`` or ``bf16``, as resolved.
    """

    def __init__(self, precision: str = "auto", trackers: tuple[str, ...] = (), folder: Path | None = None) -> None:
        self.precision = ("bf16" if fast_bf16() else "float32") if precision == "auto" else precision
        with own_state():
            self._accelerator = Accelerator(
                mixed_precision="no",  # accelerate would leave its autocast on the model: see `prepare`
                log_with=list(trackers) or None,
                project_dir=folder,
            )
        if trackers:
            self._accelerator.init_trackers("selfprompt")
        self.device = self._accelerator.device
        self.rank, self.world = self._accelerator.process_index, self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self._accelerator.is_main_process

    @property
    def dtype(self) -> torch.dtype:
        """The type in which matrices are multiplied."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def place(self, model: PromptedModel) -> None:
        """Move a model to the device."""
        model.to(self.device)

    @contextmanager
    def computing(self, model: PromptedModel) -> Iterator[None]:
        """Inside, frozen matrices are held in the compute precision (see `PromptedModel.cast_frozen`).

        Those in float32 wait in the host's memory.
        """
        if self.precision == "float32":
            yield
            return
        with model.cast_frozen(self.dtype):
            own = model.backbone.own
            waiting = [] if own is model.backbone else [matrix for _, _, matrix in frozen_matrices(own)]
            try:
                for matrix in waiting:
                    matrix.data = matrix.data.to("cpu")
                yield
            finally:
                for matrix in waiting:
                    matrix.data = matrix.data.to(self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """Inside, matrices are multiplied in the compute precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network on the device, under autocast, its gradients averaged over processes."""
        return self._accelerator.prepare(network if self.precision == "float32" else UnderAutocast(network, self))

    def backward(self, loss: Tensor) -> None:
        """Backward pass."""
        self._accelerator.backward(loss)

    def no_sync(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients are gathered up without being averaged over processes."""
        return self._accelerator.no_sync(network)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        return self._accelerator.reduce(values, reduction="sum")  # type: ignore[return-value]

    def wait(self) -> None:
        """Until every process is here."""
        self._accelerator.wait_for_everyone()

    def track(self, values: dict[str, float], step: int) -> None:
        """Send numbers to the trackers."""
        self._accelerator.log(values, step=step)

    def close(self) -> None:
        """Finish the trackers; the processes stay together."""
        for tracker in self._accelerator.trackers:
            tracker.finish()


class UnderAutocast(nn.Module):
    """A network under an engine's autocast; its outputs are float32."""

    def __init__(self, network: nn.Module, engine: Engine) -> None:
        super().__init__()
        self.network, self.engine = network, engine

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's outputs."""
        with self.engine.autocast():
            return self.network(*inputs).float()


@contextmanager
def own_state() -> Iterator[None]:
    """Inside, what accelerate's objects share starts anew: an `Accelerator` of the caller's keeps its own."""
    kinds: tuple[Any, ...] = (AcceleratorState, GradientState)
    theirs = [kind._shared_state for kind in kinds]
    for kind in kinds:
        kind._shared_state = SharedDict()
    try:
        yield
    finally:
        for kind, state in zip(kinds, theirs):
            kind._shared_state = state


def fast_bf16() -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


def out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory is out."""
    return should_reduce_batch_size(error) or "can't allocate memory" in str(error)
