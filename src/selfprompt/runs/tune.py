"""A whole run: data and backbone to a tested adapter, in a folder that can be resumed."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from selfprompt.backbones.load import load_backbone
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import with_splits
from selfprompt.data.recorded import NAME as SPLIT_NAME
from selfprompt.data.recorded import image_names, splits_for
from selfprompt.data.sources import load_located
from selfprompt.errors import UserError
from selfprompt.files import claimed, replace_file, unused
from selfprompt.methods import make_method
from selfprompt.model import build
from selfprompt.runs.config import NAME, RunConfig, read_run, settings_in
from selfprompt.runs.probe import linear_probe
from selfprompt.tuning.checkpoint import same_run
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import predictions
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.loop import OnStep
from selfprompt.tuning.records import Metrics, Tested, read_history, read_metrics, write_metrics, write_predictions


def tune(
    config: RunConfig,
    out: Path | None = None,
    *,
    resume: bool = False,
    on_step: OnStep | None = None,
    command: str | None = None,
    **options: Any,
) -> Result:
    """Run a configuration: split, start, fit, then test once, and write everything to ``out``.

    Args:
        config: What to run.
        out: The run's folder: run.json, split.json, log.jsonl, log.csv, checkpoint.pt, prompts/,
            predictions.csv, metrics.json and the adapter; runs/DATA-METHOD-TIME if left out.
        resume: Go on where the run in ``out`` was stopped; otherwise a folder with another run is refused.
        on_step: Called after every step.
        command: The command that asked for the run; command.txt.
        **options: Further arguments of `fit`.

    Raises:
        UserError: The folder is taken or cannot be written; from the data, the backbone, the method or the fit.
    """
    engine = Engine(config.recipe.precision)
    with ExitStack() as held:

        def claim() -> Path:
            folder = held.enter_context(claimed(out or unused(default_folder(config))))
            if not resume and (folder / NAME).exists():
                raise UserError(
                    f"{folder} holds a run already: go on with --resume {folder}, or choose another --out."
                )
            return folder

        folder = engine.from_main(claim)
        engine = Engine(config.recipe.precision, config.trackers, folder)
        return run_in(folder, config, engine, resume, on_step, command, options)


def default_folder(config: RunConfig) -> Path:
    """runs/DATA-METHOD-TIME, of letters that every file system takes."""
    name = re.split(r"[/\\]", config.data.removeprefix("hf:").rstrip("/\\"))[-1]
    stem = re.sub(r"[^\w.=+-]+", "-", name).strip(".-")[:60] or "data"
    return Path("runs") / f"{stem}-{config.method.name}-{time.strftime('%Y%m%d-%H%M%S')}"


def run_in(
    out: Path,
    config: RunConfig,
    engine: Engine,
    resume: bool,
    on_step: OnStep | None,
    command: str | None,
    options: dict[str, Any],
) -> Result:
    """`tune` in a folder that this process, or the first of several, has claimed."""
    if resume and (out / NAME).exists():
        same_run(out, settings_in(read_run(out)), settings_in(config))
    if resume and (out / "metrics.json").exists():
        old = read_metrics(out, Metrics)
        if old["test_accuracy"] is not None or not config.test:
            return Result(old, read_history(out, old), out)
    dataset = load_located(config.data)
    splits = splits_for(dataset, config.protocol, out) if resume else with_splits(dataset, config.protocol)
    backbone = load_backbone(config.backbone, config.protocol.side)
    names = list(dataset.class_names)
    model = build(config.method, backbone, dataset.num_classes, config.protocol, names, config.seed)
    if engine.is_main:
        if command is not None:
            replace_file(out / "command.txt", command + "\n")
        replace_file(out / SPLIT_NAME, json.dumps(splits.record))
        replace_file(out / NAME, config.model_dump_json(indent=2) + "\n")
    engine.wait()

    examples = splits.train + splits.val if config.whole else splits.train
    model.protocol = model.protocol.completed(examples)
    train = Decoded(examples, model.protocol, train=True, seed=config.seed)
    val = None if config.whole else Decoded(splits.val, model.protocol)
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
    test = Decoded(splits.test, model.protocol)
    with model.insertion.folded(model.backbone), engine.computing(model):
        predicted, probability, _ = predictions(model, test, engine, 2 * config.recipe.batch_size)
    accuracy = 100 * int((predicted == test.labels).sum()) / len(test)
    assert "test_images" not in result.metrics
    metrics: Tested = {**result.metrics, "test_accuracy": accuracy, "test_images": len(test)}
    measured = {"test_accuracy": accuracy}
    if config.probe and config.method.trainable() == "prompts":
        linear = make_method("linear", readout=config.method.readout)
        bare = build(linear, backbone, dataset.num_classes, config.protocol)
        engine.place(bare)
        plain = train if val and not train.augmented else Decoded(splits.train, model.protocol)
        val = val or Decoded(splits.val, model.protocol)
        with engine.computing(bare), engine.autocast():
            probed = linear_probe(bare, plain, val, test)
            metrics["linear_probe_test_accuracy"] = measured["linear_probe_test_accuracy"] = probed
    engine.track(measured, step=len(result.history))
    engine.close()
    assert model.metrics is not None
    model.metrics["test_accuracy"] = accuracy
    if engine.is_main:
        model.save_pretrained(out)
        write_predictions(out, image_names(splits, "test"), dataset.class_names, test.labels, predicted, probability)
        write_metrics(out, metrics)
    engine.wait()
    return Result(metrics, result.history, out)
