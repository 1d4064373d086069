"""A whole run: data and backbone to a tested adapter, in a folder that can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from selfprompt import registry
from selfprompt.adapters import replace_file
from selfprompt.backbones import load_backbone
from selfprompt.data.datasets import Examples, with_splits
from selfprompt.data.loading import ImageTensors
from selfprompt.data.protocol import Protocol, protocol_for
from selfprompt.data.sources import load_dataset
from selfprompt.data.sources.folder import images_below
from selfprompt.errors import UserError
from selfprompt.methods import make_method, read_spec
from selfprompt.model import load
from selfprompt.recipe import Recipe
from selfprompt.tuning.engine import Engine
from selfprompt.tuning.evaluation import answers, evaluate_network
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.loop import OnStep
from selfprompt.tuning.probe import linear_probe
from selfprompt.tuning.records import write_metrics, write_predictions

NAME = "run.json"

EMBEDDED: dict[str, Any] = {
    "data": "mnist5k",
    "backbone": "builtin",
    "protocol": {"name": "embedded", "train_images": 1000},
    "fields": {"head_norm": "batch", "prompt_rms": 0.1, "readout": "backbone"},
    "recipe": {"epochs": 12, "batch_size": 32, "optimizer": "adamw", "weight_decay": 0.01, "head_weight_decay": 0.01},
    "rates": {"spt": 3.2e-2, "vpt": 1e-1, "linear": 3.2e-2, "full": 1e-3, "bias": 1e-2, "lora": 1e-2}
    | {"vfpt": 3.2e-2, "gatevpt": 1e-1, "cvpt": 1e-1, "pc": 1e-1, "e2vpt": 3.2e-1},
}
"""What `selfprompt tune` runs without an argument, in about two minutes on two cores.

800 + 200 labelled images as in VTAB-1K. Against the published recipe: 12 epochs in the place of 100, a BatchNorm
without parameters before the head, prompts rescaled to a root mean square of 0.1, the backbone's own readout, and
rates that searches on validation images chose.
"""


class RunConfig(BaseModel):
    """Everything that decides a run's numbers; run.json in its folder.

    Args:
        data, backbone, method, recipe, protocol, seed: What is run, resolved.
        probe: Measure a linear probe, too, where prompts are trained.
        test: Look at the test set at the end; a trial of a search does not.
        whole: Train on the training and validation images together, and keep the last epoch.
        trackers: accelerate's trackers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    backbone: str
    method: dict[str, Any]
    recipe: Recipe
    protocol: Protocol
    seed: int = 0
    probe: bool = True
    test: bool = True
    whole: bool = False
    trackers: tuple[str, ...] = ()

    @classmethod
    def resolve(
        cls,
        data: str | None = None,
        backbone: str | None = None,
        method: str = "spt",
        *,
        fields: dict[str, Any] | None = None,
        recipe: dict[str, Any] | None = None,
        protocol: dict[str, Any] | None = None,
        image_size: int | None = None,
        **rest: Any,
    ) -> RunConfig:
        """Fill in what the user left open: the backbone's own protocol, and the method's published recipe.

        ``method`` may carry fields of its own (see `read_spec`).
        """
        method, own_fields = read_spec(method)
        default = EMBEDDED if data is None and backbone in (None, "builtin") else {}
        if data is None and not default:
            raise UserError(
                f"--backbone {backbone} needs DATA: give a folder of class folders, or a registered name."
            )
        info = load_backbone(backbone or "builtin", image_size).info
        own = registry.module("method", method).RECORD.factory.model_fields
        default_rate = {"lr": default["rates"][method]} if method in default.get("rates", {}) else {}
        suggested = {k: v for k, v in default.get("fields", {}).items() if k in own}
        chosen = make_method(method, **(suggested | (fields or {}) | own_fields)).settled(info.pretraining)
        changes = default.get("recipe", {}) | default_rate | (recipe or {})
        try:
            return cls(
                data=data or default["data"],
                backbone=backbone or "builtin",
                method=chosen.describe(),
                recipe=chosen.recipe_with(info.pretraining, changes),
                protocol=protocol_for(info, **(default.get("protocol", {}) | (protocol or {}))),
                **rest,
            )
        except ValidationError as error:
            first = error.errors()[0]
            flag = "--" + str(first["loc"][-1]).replace("_", "-")
            raise UserError(f"{flag} {first['input']} is out of range: {first['msg']}.") from None


def tune(
    config: RunConfig, out: Path, *, resume: bool = False, on_step: OnStep | None = None, **options: Any
) -> Result:
    """Run a configuration: split, start, fit, then test once, and write everything to ``out``.

    Args:
        config: What to run.
        out: The run's folder: run.json, split.json, log.jsonl, log.csv, checkpoint.pt, prompts/,
            predictions.csv, metrics.json and the adapter.
        resume: Go on where the run in ``out`` was stopped; otherwise a folder with another run is refused.
        on_step: Called after every step.
        **options: Further arguments of `fit`.

    Raises:
        UserError: From the data, the backbone, the method or the fit.
    """
    engine = Engine(config.recipe.precision)
    if not resume and (out / NAME).exists():
        raise UserError(f"{out} holds a run already: go on with --resume {out}, or choose another --out.")
    if resume and (out / "metrics.json").exists():
        metrics = json.loads((out / "metrics.json").read_text())
        if metrics["test_accuracy"] is not None or not config.test:
            history = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
            return Result(metrics, history, out)
    engine.wait()
    dataset = load_dataset(config.data)
    splits = with_splits(dataset, config.protocol)
    method = registry.build("method", config.method)
    backbone = load_backbone(config.backbone, config.protocol.image_size)
    model = method.build(backbone, dataset.num_classes, config.protocol, list(dataset.class_names), config.seed)
    if engine.is_main:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / "split.json", json.dumps(splits.record).encode())
        replace_file(out / NAME, (config.model_dump_json(indent=2) + "\n").encode())
    engine.wait()

    result = fit(
        model,
        splits.train + splits.val if config.whole else splits.train,
        None if config.whole else splits.val,
        recipe=config.recipe,
        output_dir=out,
        seed=config.seed,
        dataset=dataset.name,
        resume=resume,
        trackers=config.trackers,
        on_step=on_step,
        **options,
    )
    if not config.test:
        return result
    test = ImageTensors(splits.test, config.protocol)
    model.insertion.fold(backbone)
    with engine.computing(model), engine.autocast():
        predicted, probability, _ = answers(model, test, engine, 2 * config.recipe.batch_size)
    accuracy = 100 * int((predicted == test.labels).sum()) / len(test)
    metrics = {**result.metrics, "test_accuracy": accuracy, "test_images": len(test)}
    if config.probe and method.trainable() == "prompts":
        linear = make_method("linear", readout=config.method["readout"])
        bare = linear.build(backbone, dataset.num_classes, config.protocol)
        engine.place(bare)
        train, val = ImageTensors(splits.train, config.protocol), ImageTensors(splits.val, config.protocol)
        with engine.computing(bare), engine.autocast():
            metrics["linear_probe_test_accuracy"] = linear_probe(bare, train, val, test)
    assert model.metrics is not None
    model.metrics["test_accuracy"] = accuracy
    if engine.is_main:
        model.save_pretrained(out)
        write_predictions(out, dataset.class_names, test.labels, predicted, probability)
        write_metrics(out, metrics)
    engine.wait()
    return Result(metrics, result.history, out)


def read_run(folder: Path) -> RunConfig:
    """The configuration of the run in a folder.

    Raises:
        UserError: There is none.
    """
    if not (folder / NAME).is_file():
        raise UserError(f"{folder} holds no run to go on with (no {NAME}): start it with --out {folder}.")
    return RunConfig.model_validate_json((folder / NAME).read_text())


def evaluate(adapter: str | Path, data: str, *, split: str = "test", backbone: Any = None) -> dict[str, Any]:
    """Accuracy of a saved adapter on a data set, under the protocol that the adapter was trained with.

    Args:
        adapter: Its folder or hub repository.
        data: What `load_dataset` takes; its classes must be the adapter's.
        split: ``test``, ``val`` or ``train``; cut as in training where the data has no such split.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: The classes differ, or the adapter or data cannot be loaded.
    """
    model = load(adapter, backbone)
    dataset = load_dataset(data)
    if model.class_names is not None and list(dataset.class_names) != model.class_names:
        odd = sorted(set(dataset.class_names) ^ set(model.class_names)) or ["their order"]
        raise UserError(f"{data} has other classes than {adapter}: {odd[0]} differs.")
    examples = getattr(with_splits(dataset, model.protocol), split)
    engine = Engine()
    engine.place(model)
    images = ImageTensors(examples, model.protocol)
    with engine.computing(model), engine.autocast():
        accuracy, loss = evaluate_network(model, images, engine, 64)
    return {
        "adapter": str(adapter),
        "dataset": dataset.name,
        "split": split,
        "images": len(examples),
        f"{split}_accuracy": accuracy,
        f"{split}_loss": loss,
        "protocol": model.protocol.hash,
        "precision": engine.precision,
    }


def predict(adapter: str | Path, images: Sequence[str | Path], *, backbone: Any = None) -> list[dict[str, Any]]:
    """The likeliest class of each image.

    Args:
        adapter: A folder or hub repository.
        images: Image files, or folders whose images are taken.
        backbone: The backbone, if it is no longer where it was.

    Returns:
        For each image ``image``, ``label`` (a name where the adapter knows it) and ``probability``.
    """
    model = load(adapter, backbone)
    paths = [
        found for path in images for found in (images_below(Path(path)) if Path(path).is_dir() else [Path(path)])
    ]
    if not paths:
        raise UserError("There are no images to predict: give image files, or folders of them.")
    engine = Engine()
    engine.place(model)
    unlabelled = Examples(paths, np.zeros(len(paths), dtype=np.int64))
    with engine.computing(model), engine.autocast():
        predicted, probability, _ = answers(model, ImageTensors(unlabelled, model.protocol), engine, 64)
    names = model.class_names or [str(i) for i in range(model.num_classes)]
    return [
        {"image": str(path), "label": names[int(label)], "probability": float(share)}
        for path, label, share in zip(paths, predicted, probability)
    ]
