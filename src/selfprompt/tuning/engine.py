"""Devices, processes, precision and trackers. The only file that imports accelerate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn

from selfprompt.errors import UserError
from selfprompt.model import PromptedModel

Made = TypeVar("Made")


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
        AcceleratorState._reset_state()  # a second run in one process may want another precision
        self.precision = ("bf16" if fast_bf16() else "float32") if precision == "auto" else precision
        self._accelerator = Accelerator(
            mixed_precision="bf16" if self.precision == "bf16" else "no",
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
    def fused_attention(self) -> bool:
        """Whether the fused kernel is the faster one: not for bf16 on a CPU, where its backward pass is slow."""
        return not (self.device.type == "cpu" and self.precision == "bf16")

    def place(self, model: PromptedModel) -> None:
        """Move a model to the device, with the attention that is faster there."""
        model.to(self.device)
        model.backbone.fused_attention = self.fused_attention

    @contextmanager
    def computing(self, model: PromptedModel) -> Iterator[None]:
        """Inside, a frozen backbone's matrices are held in the precision in which they are multiplied.

        Autocast would cast them anew at every use, as it keeps casts only of weights that are trained. The results
        are the same, to the bit. The model gets its own backbone back at the end; until then that waits in the
        host's memory.
        """
        own = model.backbone
        if self.precision == "bf16" and not any(p.requires_grad for p in own.parameters()):
            model.backbone = copy.deepcopy(own)
            own.to("cpu")
            for module in model.backbone.modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    module.to(torch.bfloat16)
        try:
            yield
        finally:
            model.backbone = own.to(self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """Inside, what is multiplied outside the prepared network is so in the compute precision, too."""
        return self._accelerator.autocast()

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network on the device, under autocast, its gradients averaged over processes."""
        return self._accelerator.prepare(network)

    def backward(self, loss: Tensor) -> None:
        """Backward pass."""
        self._accelerator.backward(loss)

    def no_sync(self, network: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients are gathered up without being averaged over processes."""
        return self._accelerator.no_sync(network)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over processes of values that wait on the host; devices without float64 work alone."""
        if self.world == 1:
            return values
        return self._accelerator.reduce(values.to(self.device), reduction="sum").cpu()  # type: ignore[union-attr]

    def from_main(self, make: Callable[[], Made]) -> Made:
        """What the main process makes, in every process; so is an error of the user's."""
        made: list[Any] = [None]
        if self.is_main:
            try:
                made = [make()]
            except UserError as error:
                made = [error]
        broadcast_object_list(made)
        if isinstance(made[0], UserError):
            raise made[0]
        return made[0]

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


def fast_bf16() -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


def out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory is out."""
    return should_reduce_batch_size(error) or "can't allocate memory" in str(error)
