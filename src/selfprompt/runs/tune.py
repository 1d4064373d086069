"""A whole run: data and backbone to a tested adapter, in a folder that can be resumed."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from selfprompt.assembly import build
from selfprompt.backbones.load import load_backbone
from selfprompt.data.datasets import with_splits
from selfprompt.data.recorded import NAME as SPLIT_NAME
from selfprompt.data.recorded import contents_of, splits_for
from selfprompt.data.tables import apart
from selfprompt.errors import Unwritable, UserError
from selfprompt.files import claimed, replace_file, unused
from selfprompt.runs.config import NAME, RunConfig, read_run, starting
from selfprompt.runs.material import Material
from selfprompt.runs.testing import Trained, finish
from selfprompt.tuning.checkpoint import NAME as CHECKPOINT
from selfprompt.tuning.checkpoint import Settings, same_run, settings_of
from selfprompt.tuning.engine import Engine, checked_trackers
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.loop import OnStep
from selfprompt.tuning.records import METRICS, Metrics, read_history, read_metrics
from selfprompt.watch import stage

FIRST = "first"
"""The folder, in a run's own, of the run that trains the prompts it starts from."""


def tune(
    config: RunConfig,
    out: Path | None = None,
    *,
    resume: bool = False,
    on_step: OnStep | None = None,
    command: str | None = None,
    analysed: bool = True,
    material: Material | None = None,
    **options: Any,
) -> Result:
    """Run a configuration: split, start, fit, then test once, and write everything to ``out``.

    Args:
        config: What to run; first what its prompts start from, in a folder of its own in ``out``.
        out: The run's folder: run.json, split.json, log.jsonl, log.csv, checkpoint.pt, prompts/, predictions.csv,
            probabilities.safetensors, metrics.json, analysis.json, thumbnails.png and the adapter;
            runs/DATA-METHOD-TIME if left out.
        resume: Go on where the run in ``out`` was stopped; otherwise a folder with another run is refused.
        on_step: Called after every step.
        command: The command that asked for the run; command.txt.
        analysed: Make the analysis that the run's page shows, once it is tested.
        material: What earlier runs on the same data have read and decoded already.
        **options: Further arguments of `fit`.

    Raises:
        UserError: The folder is taken or cannot be written; from the data, the backbone, the method or the fit.
    """
    checked_trackers(config.trackers, Path())
    engine, material = Engine(config.recipe.precision), material or Material()
    with ExitStack() as held:

        def claim() -> Path:
            folder = held.enter_context(claimed(out or unused(default_folder(config))))
            if not resume:
                must_be_free(folder)
            return folder

        folder = engine.from_main(claim)
        try:
            if (before := config.before()) is not None:
                with_splits(material.dataset(config.data, config.protocol.inputs), config.protocol, config.seed)
                if engine.is_main and not begun(folder):
                    write_settings(folder, config, command)
                engine.wait()
                there = folder / FIRST
                own = {name: value for name, value in options.items() if name != "ends"}
                with stage(f"first training, on {before.data}, in {there}"):
                    pass  # it has stages of its own
                tune(before, there, resume=begun(there), on_step=on_step, command=command, **own)
                with stage(f"second training, on {config.data}"):
                    pass
            engine = Engine(config.recipe.precision, config.trackers, folder)
            return run_in(folder, config, engine, resume, on_step, command, analysed, material, options)
        except Unwritable:  # with room again, it goes on
            raise
        except UserError:
            if engine.is_main and not resume and not any(folder.rglob(CHECKPOINT)):  # there is nothing to go on with
                (folder / NAME).unlink(missing_ok=True)
            raise
        except KeyboardInterrupt:  # says where the whole of it goes on
            raise KeyboardInterrupt(*([str(folder)] if begun(folder) else [])) from None


def must_be_free(folder: Path) -> None:
    """That a folder holds no run yet.

    Raises:
        UserError: It does.
    """
    if begun(folder):
        raise UserError(f"{folder} holds a run already: go on with --resume {folder}, or choose another --out.")


def begun(folder: Path) -> bool:
    """Whether a folder holds a run, which can be resumed or is done."""
    return (folder / NAME).exists()


def write_settings(folder: Path, config: RunConfig, command: str | None) -> None:
    """What a run is resumed by."""
    if command is not None:
        replace_file(folder / "command.txt", command + "\n")
    replace_file(folder / NAME, config.model_dump_json(indent=2) + "\n")


def default_folder(config: RunConfig) -> Path:
    """runs/DATA-METHOD-TIME."""
    return Path("runs") / named_folder(config.data, config.method.name)


def named_folder(data: str, method: str) -> str:
    """DATA-METHOD-TIME, of letters that every file system takes."""
    name = re.split(r"[/\\]", apart(data)[0].removeprefix("hf:").rstrip("/\\"))[-1]
    stem = re.sub(r"[^\w.=+-]+", "-", name).strip(".-")[:60] or "data"
    return f"{stem}-{method}-{time.strftime('%Y%m%d-%H%M%S')}"


def settings_in(config: RunConfig) -> Settings:
    """What of a configuration tells its run from another's; its data and backbone may stand elsewhere by now."""
    method = config.method.describe()
    first = {"first": config.first} if config.first else {}
    return settings_of(method, config.recipe, config.protocol, config.seed) | {"whole": config.whole} | first


def run_in(
    out: Path,
    config: RunConfig,
    engine: Engine,
    resume: bool,
    on_step: OnStep | None,
    command: str | None,
    analysed: bool,
    material: Material,
    options: dict[str, Any],
) -> Result:
    """`tune` in a folder that this process, or the first of several, has claimed."""
    if resume and begun(out):
        same_run(out, settings_in(read_run(out)), settings_in(config))
    if resume and (out / METRICS).exists():
        old = read_metrics(out, Metrics)
        if old["test_accuracy"] is not None or not config.test:
            return Result(old, read_history(out, old), out)
    dataset = material.dataset(config.data, config.protocol.inputs)
    made = splits_for(dataset, config.protocol, out, seed=config.seed) if resume else None
    splits = made or with_splits(dataset, config.protocol, config.seed)
    classes = list(splits.class_names)
    with stage("loading the backbone"):
        backbone = load_backbone(config.backbone, config.protocol.side)
    method = config.method.for_names(classes, [name for name in dataset.class_names if name not in classes])
    if config.first:
        method = starting(method, str(out.absolute() / FIRST))
    model = build(method, backbone, len(classes), config.protocol, classes, config.seed)
    for tower in () if resume else model.towers.values():
        model.stored(tower)  # that it fits, before anything is written
    if engine.is_main:
        contents = {} if made else contents_of(dataset, splits)
        replace_file(out / SPLIT_NAME, json.dumps(splits.record | contents))
        write_settings(out, config, command)
    engine.wait()

    examples = splits.train + splits.val if config.whole else splits.train
    model.protocol = model.protocol.completed(examples)
    images = partial(material.decoded, splits=splits, protocol=model.protocol)
    train = images("whole" if config.whole else "train", examples, train=True, seed=config.seed)
    val = None if config.whole else images("val", splits.val)
    result = fit(
        model,
        train,
        val,
        recipe=config.recipe,
        output_dir=out,
        seed=config.seed,
        dataset=dataset.name,
        resume=resume,
        engine=engine,
        on_step=on_step,
        **options,
    )
    if not config.test:
        engine.close()
        return result
    test = images("test", splits.test)
    trained = Trained(out, config, model, backbone, dataset, splits, train, val, test, result)
    return finish(trained, engine, analysed)
