"""The prompted model: a frozen backbone, the way prompts meet its tokens, and a head. Read this first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from selfprompt.adapters.kept import WithAdapter
from selfprompt.adapters.start import stored
from selfprompt.backbones.base import Backbone
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.info import Readout
from selfprompt.backbones.load import BackboneSource
from selfprompt.data.protocol import BaseProtocol
from selfprompt.data.views.text import TextView
from selfprompt.errors import UserError
from selfprompt.heads.base import Head
from selfprompt.heads.class_text import ClassText
from selfprompt.heads.label_words import LabelWords
from selfprompt.inputs import Inputs, Text, move
from selfprompt.methods.base import Method, PromptMethod, Role
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.insertion.base import Insertion
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
        from selfprompt.assembly import load  # which puts this class's models together

        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        return load(model_id, backbone, **{k: v for k, v in hub.items() if k in known})


def listed(names: Sequence[str], count: int | None = None) -> list[str]:
    """Names of ``count`` classes, as a list.

    Raises:
        UserError: They are one text, or one of them is none.
    """
    found = [] if isinstance(names, str) else list(names)
    wrong = isinstance(names, str) or not all(isinstance(name, str) for name in found)
    if wrong or count not in (None, len(found)):
        many = "names" if count is None else f"{count} names"
        raise UserError(f"class_names is {names!r:.80}: give a list of {many}, one for each class.")
    return found
