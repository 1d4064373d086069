"""A whole run: data and backbone to a tested adapter, in a folder that can be taken up again."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from selfprompt.backbones.load import load_backbone
from selfprompt.data.batches import Decoded
from selfprompt.data.datasets import with_splits
from selfprompt.data.protocol import AnyProtocol, protocol_for
from selfprompt.data.recorded import NAME as SPLIT_NAME
from selfprompt.data.recorded import SPLITS, image_names, splits_for
from selfprompt.data.sources import load_dataset, load_located, locate
from selfprompt.errors import UserError, out_of_range, unknown
from selfprompt.files import claimed, must_be_utf8, read_as, replace_file, unused
from selfprompt.methods import from_description, make_method, read_spec, record_of
from selfprompt.methods.base import Method
from selfprompt.methods.recipe import Recipe
from selfprompt.model import build, load
from selfprompt.tuning.checkpoint import same_run, settings_of
from selfprompt.tuning.engine import Engine, checked_trackers
from selfprompt.tuning.evaluation import answers, evaluate_network
from selfprompt.tuning.fit import Result, fit
from selfprompt.tuning.loop import OnStep
from selfprompt.tuning.probe import linear_probe
from selfprompt.tuning.records import read_history, read_metrics, write_metrics, write_predictions

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


def described(method: Any) -> Method:
    """A method, or what `Method.describe` gave, as a method."""
    if isinstance(method, Method):
        return method
    if not isinstance(method, dict) or not isinstance(method.get("name"), str):
        raise ValueError("it has no name")
    try:
        return from_description(method)
    except UserError as error:
        raise ValueError(str(error)) from None


class RunConfig(BaseModel):
    """Everything that decides a run's numbers; run.json in its folder.

    Args:
        data: A registered name, hf:NAME, or a folder's absolute path (see `locate`).
        backbone, method, recipe, protocol, seed: What is run, resolved.
        probe: Measure a linear probe, too, where prompts are trained.
        test: Look at the test set at the end; a trial of a search does not.
        whole: Train on the training and validation images together, and keep the last epoch.
        trackers: accelerate's trackers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    backbone: str
    method: Annotated[Method, BeforeValidator(described), PlainSerializer(Method.describe)]
    recipe: Recipe
    protocol: AnyProtocol
    seed: int = Field(default=0, ge=0, lt=2**32 - 1)
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
        checked_trackers(rest.get("trackers", ()), Path())
        for flag, given in {"DATA": data, "--backbone": backbone, "--method": method}.items():
            if given is not None:
                must_be_utf8(flag, given)
                if not given.strip():
                    raise UserError(f"{flag} is empty: leave it out, or say which.")
        if image_size is not None and image_size < 1:
            raise UserError(f"--image-size {image_size} is out of range: it must be 1 or more.")
        method, own_fields = read_spec(method)
        default = EMBEDDED if data is None and backbone in (None, "builtin") else {}
        if data is None and not default:
            raise UserError(
                f"--backbone {backbone} needs DATA: give a folder of class folders, or a registered name."
            )
        info = load_backbone(backbone or "builtin", image_size).info
        own = record_of(method).factory.model_fields
        default_rate = {"lr": default["rates"][method]} if method in default.get("rates", {}) else {}
        suggested = {k: v for k, v in default.get("fields", {}).items() if k in own}
        chosen = make_method(method, **(suggested | (fields or {}) | own_fields)).settled(info.pretraining)
        changes = default.get("recipe", {}) | default_rate | (recipe or {})
        try:
            return cls(
                data=locate(data) if data else default["data"],
                backbone=backbone or "builtin",
                method=chosen,
                recipe=chosen.recipe_with(info.pretraining, changes),
                protocol=protocol_for(info, **(default.get("protocol", {}) | (protocol or {}))),
                **rest,
            )
        except ValidationError as error:
            raise out_of_range(error) from None


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
        metrics = read_metrics(out)
        if metrics["test_accuracy"] is not None or not config.test:
            return Result(metrics, read_history(out, metrics), out)
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

    result = fit(
        model,
        splits.train + splits.val if config.whole else splits.train,
        None if config.whole else splits.val,
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
    with model.insertion.folded(model.backbone), engine.computing(model), engine.autocast():
        predicted, probability, _ = answers(model, test, engine, 2 * config.recipe.batch_size)
    accuracy = 100 * int((predicted == test.labels).sum()) / len(test)
    metrics = {**result.metrics, "test_accuracy": accuracy, "test_images": len(test)}
    if config.probe and config.method.trainable() == "prompts":
        linear = make_method("linear", readout=config.method.readout)
        bare = build(linear, backbone, dataset.num_classes, config.protocol)
        engine.place(bare)
        train, val = Decoded(splits.train, model.protocol), Decoded(splits.val, model.protocol)
        with engine.computing(bare), engine.autocast():
            metrics["linear_probe_test_accuracy"] = linear_probe(bare, train, val, test)
    measured = {k: metrics[k] for k in ("test_accuracy", "linear_probe_test_accuracy") if k in metrics}
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


def settings_in(config: RunConfig) -> dict[str, Any]:
    """What of a configuration tells its run from another's; its data and backbone may stand elsewhere by now."""
    method = config.method.describe()
    return settings_of(method, config.recipe, config.protocol, config.seed) | {"whole": config.whole}


def read_run(folder: Path) -> RunConfig:
    """The configuration of the run in a folder.

    Raises:
        UserError: There is none, or it is damaged.
    """
    if not (folder / NAME).is_file():
        raise UserError(f"{folder} holds no run to go on with (no {NAME}): start it with --out {folder}.")
    fix = "restore it, or run again into another folder"
    return read_as(folder / NAME, RunConfig, fix)


def evaluate(adapter: str | Path, data: str, *, split: str = "test", backbone: Any = None) -> dict[str, Any]:
    """Accuracy of a saved adapter on a data set, under the protocol that the adapter was trained with.

    Args:
        adapter: Its folder or hub repository.
        data: What `load_dataset` takes; its classes must be the adapter's.
        split: ``test``, ``val`` or ``train``, as the adapter's run recorded it; where it did not, cut as in training.
        backbone: The backbone, if it is no longer where it was.

    Raises:
        UserError: There is no such split, the classes differ, or the adapter or data cannot be loaded.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    model = load(adapter, backbone)
    dataset = load_dataset(data)
    if model.class_names is not None and list(dataset.class_names) != model.class_names:
        odd = sorted(set(dataset.class_names) ^ set(model.class_names)) or ["their order"]
        raise UserError(f"{data} has other classes than {adapter}: {odd[0]} differs.")
    examples = getattr(splits_for(dataset, model.protocol, Path(adapter), whole=False), split)
    if not len(examples):
        raise UserError(f"{data} has none of the {split} images of the run in {adapter}: restore them.")
    engine = Engine()
    engine.place(model)
    images = Decoded(examples, model.protocol)
    with model.insertion.folded(model.backbone), engine.computing(model), engine.autocast():
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
