"""Devices, processes, precision and trackers. The only file that imports accelerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, SharedDict
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import broadcast_object_list, gather_object
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn

from selfprompt.backbones.precision import frozen_matrices
from selfprompt.errors import UserError, first_line, unknown
from selfprompt.model import PromptedModel

Made = TypeVar("Made")


class Engine:
    """One process's view of the machine: a thin wrapper of accelerate's `Accelerator`.

    Args:
        precision: ``auto``, ``float32`` or ``bf16``.
        trackers: A name, or names, of accelerate's trackers, such as ``tensorboard``; `start_trackers` starts them.
        folder: Where trackers write.

    Attributes:
        device: Where this process computes.
        rank, world: This process's number, and how many there are.
        precision: ``float32`` or ``bf16``, as resolved.

    Raises:
        UserError: A tracker is unknown, its package is not installed, or it writes files and has no folder.
    """

    def __init__(
        self, precision: str = "auto", trackers: str | Sequence[str] = (), folder: Path | None = None
    ) -> None:
        names = checked_trackers(trackers, folder)
        self.precision = ("bf16" if fast_bf16() else "float32") if precision == "auto" else precision
        with own_state():
            self._accelerator = Accelerator(
                mixed_precision="no",  # accelerate would leave its autocast on the model: see `prepare`
                log_with=[*names] or None,
                project_dir=folder,
            )
        self.device = self._accelerator.device
        self.rank, self.world = self._accelerator.process_index, self._accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
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

    def gather(self, items: list[Any]) -> list[Any]:
        """The items of all processes."""
        return gather_object(items)

    def wait(self) -> None:
        """Until every process is here."""
        self._accelerator.wait_for_everyone()

    def start_trackers(self, settings: Mapping[str, Any]) -> None:
        """Start the trackers with what decides the run's numbers; nested settings become ``outer.inner``.

        Raises:
            UserError: A tracker cannot be started, for want of a login, for instance.
        """
        if not self._accelerator.log_with:
            return
        try:
            self._accelerator.init_trackers("selfprompt", config=flat({**settings, "precision": self.precision}))
        except Exception as error:
            names = ", ".join(str(tracker) for tracker in self._accelerator.log_with)
            raise UserError(
                f"The tracker {names} cannot be started ({first_line(error)}): set it up first."
            ) from error

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers to the trackers."""
        self._accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the trackers; the processes stay together."""
        for tracker in self._accelerator.trackers:
            tracker.finish()
        self._accelerator.trackers.clear()


def checked_trackers(trackers: str | Sequence[str], folder: Path | None) -> list[str]:
    """The names of trackers, each of which can be used; accelerate leaves out the others with a warning at most.

    Raises:
        UserError: One cannot.
    """
    names = [trackers] if isinstance(trackers, str) else list(trackers)
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise unknown("tracker", name, LOGGER_TYPE_TO_CLASS)
        if name not in installed:
            raise UserError(f"Tracker {name} needs a package: pip install {name.replace('_', '-')}.")
        if folder is None and LOGGER_TYPE_TO_CLASS[name].requires_logging_directory:
            raise UserError(f"Tracker {name} writes files: give an output_dir.")
    return names


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of ``outer.inner``; what is neither number nor text as text."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found


class UnderAutocast(nn.Module):
    """A network under an engine's autocast."""

    def __init__(self, network: nn.Module, engine: Engine) -> None:
        super().__init__()
        self.network, self.engine = network, engine

    def forward(self, *inputs: Any) -> Any:
        """The network's outputs."""
        with self.engine.autocast():
            return self.network(*inputs)


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
