"""The prompted model: a frozen backbone, the way prompts meet its tokens, and a head. Read this first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from selfprompt.adapters.format import (
    CONFIG_NAME,
    FIX,
    WEIGHTS_NAME,
    find_adapter,
    read_adapter,
)
from selfprompt.adapters.kept import WithAdapter, not_finite
from selfprompt.adapters.start import stored
from selfprompt.backbones.aliases import resolve
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.info import Readout
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.protocol import BaseProtocol, TextProtocol, protocol_for
from selfprompt.data.views.text import TextView
from selfprompt.errors import UserError
from selfprompt.files import using
from selfprompt.heads.base import Head
from selfprompt.heads.class_text import ClassText
from selfprompt.heads.label_words import LabelWords
from selfprompt.heads.linear import LinearHead
from selfprompt.inputs import Inputs, Text, move
from selfprompt.methods import from_description, make_method
from selfprompt.methods.base import Method, PromptMethod, Role
from selfprompt.methods.texts import TextMethod
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.insertion.base import Insertion, drawing
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.scores.calibration import Calibration
from selfprompt.tower import Tower


class PromptedModel(WithAdapter, library_name="selfprompt"):
    """A frozen backbone with prompts and a head of its own. Made by `selfprompt.create_model`.

    Args:
        tower: Backbone, insertion and readout: images to features.
        head: Features to logits; one of the classes' texts has a tower of its own.
        method: What it was built by, settled for the backbone.
        protocol: What inputs the model wants.
        backbone_hash: The fingerprint of what was frozen.
        class_names: Names of the head's outputs.

    Attributes:
        prompts: The trained prompts, one parameter (layers, P, D); None for a method without.
        calibration: What validation says of its probabilities, once `selfprompt.runs.tune` has asked it.
        thresholds: With which probability each class is given, where an input may have several labels; also then.
    """

    def __init__(
        self,
        tower: Tower,
        head: Head,
        *,
        method: Method,
        protocol: BaseProtocol,
        backbone_hash: str,
        class_names: list[str] | None = None,
    ) -> None:
        super().__init__()
        self._hub_mixin_config = None  # adapter_config.json takes the place of the mixin's config.json
        self.tower, self.head = tower, head
        self.method, self.protocol, self.class_names = method, protocol, class_names
        self.normalize = tower.prepare
        self.sources: Tensor | None = None
        self.initialized = method.initialization() is None
        self.metrics: dict[str, Any] | None = None
        self.calibration: Calibration | None = None
        self.thresholds: list[float] | None = None
        self.backbone_hash = backbone_hash

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("backbone", "insertion"):  # a Module would take them for parts of its own
            setattr(self.tower if name == "backbone" else self.prompted, name, value)
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        trained, total = self.count_parameters()
        prompts = "" if self.prompts is None else f", prompts {tuple(self.prompts.shape)}"
        where = f"{self.method.name} on {self.backbone.info.architecture}: {self.num_classes:,} classes{prompts}"
        return f"PromptedModel({where}, {trained:,} of {total:,} parameters trained)"

    @property
    def towers(self) -> dict[str, Tower]:
        """Every transformer that may hold something trained, by what it takes."""
        towers = {self.protocol.inputs: self.tower}
        return towers | {"text": self.head.text} if isinstance(self.head, ClassText) else towers

    @property
    def prompted(self) -> Tower:
        """The tower that has prompts: that of the inputs, unless only the classes' texts have any."""
        return next((tower for tower in self.towers.values() if tower.insertion.prompts is not None), self.tower)

    @property
    def backbone(self) -> Backbone:
        """The frozen transformer."""
        return self.tower.backbone

    @property
    def source(self) -> Backbone | DualEncoder:
        """What another model may be built from: the frozen transformer, with that of texts where there is one."""
        if isinstance(self.head, ClassText):
            return DualEncoder(self.backbone, self.head.tower, self.head.scale)
        return self.backbone

    @property
    def insertion(self) -> Insertion:
        """How prompts meet the tokens."""
        return self.prompted.insertion

    @property
    def seed(self) -> int:
        """That of the run which trained it, as far as known; else 0."""
        seed = (self.metrics or {}).get("seed")
        return seed if isinstance(seed, int) and seed >= 0 else 0

    @property
    def readout(self) -> Readout:
        """What the head reads of the tokens (see `Backbone.readout`)."""
        return self.tower.readout

    @property
    def num_classes(self) -> int:
        """Outputs of the head."""
        return self.head.num_classes

    @property
    def multi_label(self) -> bool:
        """Whether an input may have several labels, or none."""
        return self.protocol.multi_label

    def features(self, inputs: Inputs) -> Float[Tensor, "batch features"]:
        """B inputs, such as (B, 3, H, W) images, to (B, F) features: what the head reads.

        Images are uint8, or already normalised floats.

        Raises:
            UserError: They are anything else, or of another size than the backbone takes.
        """
        return self.tower(inputs)

    def forward(self, inputs: Inputs) -> Float[Tensor, "batch classes"]:
        """B inputs, such as (B, 3, H, W) images, uint8 or normalised floats, to (B, C) logits."""
        return self.head(self.features(inputs))

    @property
    def temperature(self) -> float:
        """What logits are divided by wherever they become probabilities; 1 where no validation says otherwise."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def probabilities(self, logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        """(B, C) logits to the probabilities that `predict` gives: their softmax at the model's temperature, or the
        sigmoid of each where an input may have several labels."""
        return logits.sigmoid() if self.multi_label else (logits / self.temperature).softmax(dim=-1)

    @contextmanager
    def cast_frozen(self, dtype: torch.dtype = torch.bfloat16) -> Iterator[None]:
        """Inside, frozen matrices are held in ``dtype``: autocast would cast them anew at every use.

        For a training or inference loop of one's own under autocast, of which it changes no number; adapters are
        saved as outside. What is frozen must not be changed inside.
        """
        own = self.backbone
        self.tower.backbone = own.cast(dtype)
        try:
            yield
        finally:
            self.tower.backbone = own

    def initialize(self, batches: Iterable[Inputs | tuple[Any, ...]] = (), seed: int = 0) -> None:
        """Give the prompts their starting values, in one pass over the task's images.

        Args:
            batches: (B, 3, H, W) images, uint8 or normalised floats, or tuples that begin with them.
            seed: Seed of every draw.

        Raises:
            UserError: The batches give fewer tokens than there are prompts.
        """
        for tower in self.towers.values():
            part, insertion = self.part(tower), tower.insertion
            initialization = self.stored(tower) or (part.initialization() if part else None)
            if initialization is None or not isinstance(insertion, PromptInsertion):
                continue
            layers, num_prompts, _ = insertion.prompts.shape
            images = self._images(batches) if initialization.needs_data else ()
            start = initialization.prepare(tower.backbone, images, layers, num_prompts, seed)
            insertion.start_from(start)
            if tower is self.prompted:
                self.sources = start.sources
            self.initialized = True
        view = self.protocol.view()
        if isinstance(self.head, LabelWords) and self.head.calibrated and isinstance(view, TextView):
            with torch.no_grad():
                self.head.calibrate(self.features(move(view.neutral(), next(self.parameters()).device)))

    def stored(self, tower: Tower) -> Initialization | None:
        """The adapter that a tower's prompts start from, if its method names one.

        Raises:
            UserError: There is none, or it does not fit (see `selfprompt.adapters.start.stored`).
        """
        part, insertion = self.part(tower), tower.insertion
        if not isinstance(part, PromptMethod) or part.start is None or not isinstance(insertion, PromptInsertion):
            return None
        kind = next(name for name, one in self.towers.items() if one is tower)
        role: Role = "inputs" if tower is self.tower else "classes"
        classes = {"classes": self.num_classes, "names": self.class_names}
        own = stored(part.start, insertion, tower.backbone, known=self.backbone_hash, role=role, kind=kind, **classes)
        return part.rescaled(own)

    def part(self, tower: Tower) -> Method | None:
        """The method that has something in a tower."""
        return self.method.part("inputs" if tower is self.tower else "classes")

    @contextmanager
    def folded(self) -> Iterator[None]:
        """Inside, what depends on no input is computed once, in every tower and in the head: no weight may change."""
        with ExitStack() as stack:
            for tower in self.towers.values():
                stack.enter_context(tower.insertion.folded(tower.backbone))
            stack.enter_context(self.head.folded())
            yield

    def for_classes(self, names: Sequence[str]) -> PromptedModel:
        """The same prompts, which both then share, for other classes, by their names.

        Raises:
            UserError: Its head knows the classes that it was trained on, and no others; or there are fewer than two
                names, or one is no text.
        """
        names = listed(names)
        if len(names) < 2:
            raise UserError(f"A classifier needs two classes or more, and {len(names)} is named.")
        return PromptedModel(
            self.tower,
            self.head.for_classes(names),
            method=self.method,
            protocol=self.protocol,
            backbone_hash=self.backbone_hash,
            class_names=names,
        ).train(self.training)

    def _images(self, batches: Iterable[Inputs | tuple[Any, ...]]) -> Iterator[Inputs]:
        device = next(self.parameters()).device
        for batch in batches:
            inputs = batch if isinstance(batch, Text) or not isinstance(batch, (tuple, list)) else batch[0]
            yield move(self.backbone.as_input(inputs, self.normalize), device)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, backbone: BackboneSource | None = None, **hub: Any) -> PromptedModel:
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        return load(model_id, backbone, **{k: v for k, v in hub.items() if k in known})


def listed(names: Sequence[str]) -> list[str]:
    """Names of classes, as a list.

    Raises:
        UserError: They are one text, or one of them is none.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UserError(f"class_names is {names!r:.80}: give a list of names, one for each class.")
    return list(names)


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
    names = None if class_names is None else listed(class_names)
    if num_classes is None:
        if names is None:
            raise UserError("How many classes there are is not said: give num_classes, or class_names.")
        num_classes = len(names)
    if names is not None and len(names) != num_classes:
        raise UserError(
            f"class_names is {class_names!r:.80}: give a list of {num_classes} names, one for each class."
        )
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
    config, state = read_adapter(folder)
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
