"""How a model is put together: of a method and a backbone, by their names, or out of an adapter."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfprompt.adapters.format import CONFIG_NAME, FIX, WEIGHTS_NAME, AdapterConfig, find_adapter, read_adapter
from selfprompt.adapters.kept import not_finite
from selfprompt.backbones.aliases import resolve
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.info import Readout
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.protocol import BaseProtocol, TextProtocol, protocol_for
from selfprompt.errors import UserError
from selfprompt.files import using
from selfprompt.heads.base import Head
from selfprompt.heads.class_text import ClassText
from selfprompt.heads.label_words import LabelWords
from selfprompt.heads.linear import LinearHead
from selfprompt.inputs import Inputs
from selfprompt.methods import from_description, make_method
from selfprompt.methods.base import Method, PromptMethod
from selfprompt.methods.texts import TextMethod
from selfprompt.model import PromptedModel, listed
from selfprompt.prompts.insertion.base import Insertion, drawing
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.tower import Tower


def build(
    method: Method,
    backbone: Backbone | DualEncoder,
    num_classes: int,
    protocol: BaseProtocol | None = None,
    class_names: list[str] | None = None,
    seed: int = 0,
) -> PromptedModel:
    """The model that a method stands for.

    Args:
        method: What it is built by.
        backbone: The transformer, or that of images with that of texts; it stays as it is, as the model has a
            private copy.
        num_classes: Outputs of the head.
        protocol: What images it will see; the backbone's own by default.
        class_names: Names of the outputs.
        seed: Seed of the starts of the head and of what the insertion owns beside prompts; torch's own
            generators are left as they are.

    Raises:
        UserError: The protocol is of another image size, there are fewer than two classes, or the method needs texts
            of classes and there are none.
    """
    own, dual = (backbone.image, backbone) if isinstance(backbone, DualEncoder) else (backbone, None)
    if method.texts and not isinstance(own, TextBackbone):
        raise UserError(f"Method {method.name} is for texts, and {own.info.name} takes none: give text:NAME.")
    protocol = protocol or (TextProtocol() if isinstance(own, TextBackbone) else protocol_for(backbone.info))
    protocol.check(backbone.info)
    if num_classes < 2:
        raise UserError(f"A classifier needs two classes or more, and num_classes is {num_classes}.")
    method = method.settled(backbone.info.pretraining).for_names(class_names or ())
    protocol = protocol.read_by(own, method.text_template())
    prepare = protocol.view().prepare
    kind = method.head() or ("class_text" if dual else "linear")
    if kind != "linear" and method.head_norm != "none":
        raise UserError("head_norm is of a linear head, and here classes are texts or words: leave it out.")
    if kind == "class_text" and isinstance(method, PromptMethod) and method.frozen_prompts:
        raise UserError(
            "Frozen prompts leave the head to train, and classes that are texts have none: leave frozen_prompts out."
        )
    if kind == "linear":
        with drawing(seed):
            std = method.head_std(backbone.info.pretraining)
            head: Head = LinearHead(own.num_features, num_classes, method.head_norm, std)
    elif kind == "label_words":
        head = label_words(method, own, class_names)
    else:
        if dual is None or class_names is None:
            lacking = "a backbone with texts, such as open_clip:NAME/TAG" if dual is None else "the classes' names"
            raise UserError(f"Method {method.name} needs {lacking}.")
        part = method.part("classes")
        insertion = part.text_insertion(dual.text, num_classes) if part else NoPrompts()
        text = tower_of(dual.text, insertion, part, "backbone", prepare, seed)
        head = ClassText(text, class_names, method.patterns(), dual.scale)
    part = method.part("inputs")
    insertion = part.insertion(own) if part else NoPrompts()
    readout: Readout = "words" if kind == "label_words" else method.readout or "backbone"
    tower = tower_of(own, insertion, part, readout, prepare, seed)
    return PromptedModel(
        tower,
        head,
        method=method,
        protocol=protocol,
        backbone_hash=backbone.fingerprint(),
        class_names=class_names,
    )


def label_words(method: Method, backbone: Backbone, class_names: list[str] | None) -> LabelWords:
    """The head of a method that answers with words."""
    assert isinstance(method, TextMethod)
    assert isinstance(backbone, TextBackbone)
    if class_names is None or not isinstance(method.label_words, dict):
        raise UserError(f"Method {method.name} answers with words: give the classes' names, or use answers=linear.")
    return LabelWords(class_names, method.label_words, backbone.vocabulary, method.calibrate)


def tower_of(
    backbone: Backbone,
    insertion: Insertion,
    method: Method | None,
    readout: Readout,
    prepare: Callable[[Any], Inputs],
    seed: int,
) -> Tower:
    """A tower around a private copy of a backbone, in which only what its method trains is not frozen."""
    backbone = backbone.own.private()
    for name, parameter in backbone.named_parameters():
        trained = method is not None and method.trains(backbone.get_submodule(name.rpartition(".")[0]), name)
        parameter.requires_grad_(trained)
        if trained:
            parameter.data = parameter.data.clone()
    for module in backbone.unread(readout):
        module.requires_grad_(False)
    insertion.requires_grad_(method is not None and method.trainable() == "prompts")
    insertion.attach(backbone, seed)
    return Tower(backbone, insertion, readout, prepare)


def create_model(
    backbone: str | os.PathLike[str] | nn.Module,
    method: str | Method = "spt",
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
    protocol: BaseProtocol | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    **fields: Any,
) -> PromptedModel:
    """A prompted model, its prompts not yet started (`PromptedModel.initialize`).

    Args:
        backbone: A timm name, a weights file, ``"builtin"``, ``text:NAME_OR_FOLDER`` for a language model, or a
            module (which stays as it is): timm's, or what `backbones.text.wrap` makes of one with its tokenizer.
        method: A name of `list_methods`, or a `Method`.
        num_classes: Outputs of the head; as many as there are names, where these are given.
        image_size: Side of the input in pixels, if not the backbone's own.
        protocol: What images it will see; by default as the backbone was evaluated.
        class_names: Names of the outputs.
        seed: Seed of the starts of the head and of what the method trains beside prompts.
        **fields: The method's fields, such as ``num_prompts``.

    Raises:
        UserError: The backbone or method is not to be had, a field is wrong, or the names are not one for each class.
    """
    names = None if class_names is None else listed(class_names, num_classes)
    if num_classes is None:
        if names is None:
            raise UserError("How many classes there are is not said: give num_classes, or class_names.")
        num_classes = len(names)
    if image_size is None and protocol:
        image_size = protocol.side
    made = make_method(method, **fields)
    if isinstance(backbone, str):
        backbone = resolve(backbone, texts=made.head() == "class_text")
    found = load_backbone(backbone, image_size)
    return build(made, found, num_classes, protocol, names, seed)


def load(adapter: str | os.PathLike[str], backbone: BackboneSource | None = None, **hub: Any) -> PromptedModel:
    """Load an adapter: its backbone is found again by name or path, and its weights checked by hash.

    Of a repository, the adapter's two files are downloaded and nothing else.

    Args:
        adapter: A folder, or a repository of the Hugging Face hub: ``hf:user/name``, or ``hf:user/name@revision``.
        backbone: The backbone, if it is no longer where it was: a name, a path, or a module.
        **hub: Passed to huggingface_hub's `snapshot_download`, such as ``revision``.

    Raises:
        UserError: A file is missing or damaged, the head is missing, a weight is NaN or infinite, or the backbone has
            other weights.
    """
    folder = find_adapter(adapter, **hub)
    return rebuilt(folder, *read_adapter(folder), backbone)


def rebuilt(
    folder: Path, config: AdapterConfig, state: dict[str, Tensor], backbone: BackboneSource | None
) -> PromptedModel:
    """The model of an adapter whose files, in a folder, are read already; backbone and errors as of `load`."""
    found = load_backbone(backbone or config.backbone.name, config.backbone.image_size)
    known = found.answers_to(config.backbone.hash)  # before a method writes into it
    with using(folder / CONFIG_NAME, FIX):
        method = from_description(config.method)
    model = build(method, found, config.num_classes, config.protocol, config.class_names)
    if not known:
        raise UserError(
            f"{folder} was trained on {config.backbone.name} with weights {config.backbone.hash[:12]}, but the "
            f"backbone found has {model.backbone_hash[:12]}: give the right one (backbone=..., or --backbone)."
        )
    with using(folder / WEIGHTS_NAME, FIX):
        model.load_adapter_state(state)
    with using(folder / CONFIG_NAME, FIX):
        model.set_sources(None if config.sources is None else torch.tensor(config.sources))
    if odd := not_finite(model.adapter_state()):
        raise UserError(f"{folder} has a weight {odd} that is NaN or infinite: train it again, with a smaller --lr.")
    model.metrics, model.calibration, model.thresholds = config.metrics, config.calibration, config.thresholds
    return model.eval()
