"""Where the runs of a comparison are made: processes of this machine, or a ray cluster."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Generic, Literal, TypeVar

import torch

from selfprompt.errors import UserError

T = TypeVar("T")
OnDone = Callable[[int, int, str], None]
"""Called with (units done, units in all, what was finished)."""


def fresh() -> Any:
    """How processes are begun that have done nothing before: forked, where systems can, from one that has read the
    libraries."""
    context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["selfprompt.comparison.compare", "optuna"])  # an extra may be missing
    return context


def end_with_parent() -> None:
    """End this process when the one that wants its results is gone, whose runs it would go on to hold."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


class Once(logging.Filter):
    """Lets through what no process has said before: whoever says it first makes a file for it.

    Args:
        folder: Of those files.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def filter(self, record: logging.LogRecord) -> bool:
        name = hashlib.sha256(record.getMessage().encode(errors="backslashreplace")).hexdigest()
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        except OSError:  # better said twice than not at all
            pass
        return True


def begin(said: Path) -> None:
    """What a process does first."""
    end_with_parent()
    logging.getLogger("selfprompt").addFilter(Once(said))


@dataclass(frozen=True)
class Unit(Generic[T]):
    """A piece of work that any process can do, and do again after one that was lost.

    Args:
        label: What it is, in a few words.
        work: A function of a module.
        arguments: Its arguments.
    """

    label: str
    work: Callable[..., T]
    arguments: tuple[Any, ...]

    def run(self, threads: int, folder: str, environment: Mapping[str, str] | None = None) -> T:
        """Do it with so many threads, paths being relative to ``folder``, in an environment."""
        os.environ.update(environment or {})
        os.chdir(folder)
        torch.set_num_threads(threads)
        return self.work(*self.arguments)


@dataclass(frozen=True)
class Workers:
    """Who does the units.

    Args:
        jobs: Units at a time on one machine, each in a process of its own (so that its peak memory is its own) with
            its share of the threads.
        on: ``here``, or ``ray``: the cluster that RAY_ADDRESS names, or one that is started here. The machines of a
            cluster must see the output folder under one path. A unit whose worker is lost is done again and takes up
            what was left.
        on_done: Called after every unit.

    Attributes:
        said: What processes here have logged, which others do not say again (see `Once`).
    """

    jobs: int = 1
    on: Literal["here", "ray"] = "here"
    on_done: OnDone | None = None
    said: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def run(self, units: Sequence[Unit[T]]) -> list[T]:
        """The results, in the order of the units.

        Raises:
            UserError: ray is wanted and not installed, or from a unit.
        """
        threads = max(1, torch.get_num_threads() // self.jobs)
        if self.on == "ray":
            return self._on_ray(units, threads)
        with TemporaryDirectory(prefix="selfprompt-") as said:
            for name in self.said:
                Path(said, name).touch()
            try:
                return self._here(units, threads, Path(said))
            finally:
                self.said.update(os.listdir(said))

    def _here(self, units: Sequence[Unit[T]], threads: int, said: Path) -> list[T]:
        context = fresh()

        def one(unit: Unit[T]) -> T:
            with ProcessPoolExecutor(1, mp_context=context, initializer=begin, initargs=(said,)) as process:
                try:
                    return process.submit(unit.run, threads, os.getcwd(), dict(os.environ)).result()
                except BrokenProcessPool:
                    raise UserError(
                        f"The process of {unit.label} was killed, as systems do when memory is out: "
                        f"start the same command again, with fewer --jobs or a smaller --batch-size."
                    ) from None

        results = []
        with ThreadPoolExecutor(self.jobs) as pool:
            pending = [pool.submit(one, unit) for unit in units]
            try:
                for unit, waiting in zip(units, pending):
                    results.append(waiting.result())
                    self._say(len(results), units, unit)
            except BaseException:
                for waiting in pending:
                    waiting.cancel()
                raise
        return results

    def _on_ray(self, units: Sequence[Unit[T]], threads: int) -> list[T]:
        try:
            import ray
            from ray.exceptions import RayTaskError
        except ImportError:
            raise UserError("--on ray needs ray: pip install 'selfprompt[cluster]'.") from None
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        share = 1 / self.jobs if ray.cluster_resources().get("GPU") else 0
        # a worker makes one unit, so that its peak memory is the unit's own; lost ones are replaced without end
        remote: Any = ray.remote(num_cpus=threads, num_gpus=share, max_calls=1, max_retries=-1)(Unit.run)
        pending = [remote.remote(unit, threads, os.getcwd()) for unit in units]
        results = []
        try:
            for unit, waiting in zip(units, pending):
                results.append(ray.get(waiting))
                self._say(len(results), units, unit)
        except RayTaskError as error:
            for waiting in pending:
                ray.cancel(waiting, force=True)
            raise (error.cause if isinstance(error.cause, UserError) else error) from None
        return results

    def _say(self, done: int, units: Sequence[Unit], unit: Unit) -> None:
        if self.on_done:
            self.on_done(done, len(units), unit.label)
