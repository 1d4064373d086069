"""What a paper's file says: its answers to the six questions, and its published recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.data.protocol import Protocol, protocol_for
from selfprompt.errors import UserError
from selfprompt.model import Head, PromptedModel, Trainable
from selfprompt.prompts.base import Condensation, Initialization, Insertion, Parametrization, drawing
from selfprompt.prompts.condensation.saliency import Saliency
from selfprompt.prompts.initialization.prototypes import Kind, Prototypes
from selfprompt.prompts.initialization.rescaled import Rescaled
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.prompts.insertion.shallow import Shallow
from selfprompt.recipe import Recipe

Readout = Literal["backbone", "mae_average"]


@dataclass(frozen=True)
class Grid:
    """The learning rates and weight decays that a paper searches for every task."""

    lr: tuple[float, ...]
    weight_decay: tuple[float, ...]


VPT_GRID = Grid(
    tuple(base * 64 / 256 for base in (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0)),
    (0.0, 1e-4, 1e-3, 1e-2),
)
"""VPT's grid (arXiv 2203.12119) at a batch of 64; E2VPT and VFPT search the same."""

VPT_RECIPE = Recipe(optimizer="sgd", lr=64 / 256, batch_size=64, weight_decay=1e-3, head_weight_decay=1e-3)
"""VPT's documented run on DMLab and EuroSAT: base rate 1.0 times batch / 256."""


class Method(BaseModel, ABC):
    """A frozen description of a method: its fields are its hyper-parameters; it holds no tensors.

    Args:
        head_norm: ``"batch"`` puts a BatchNorm without affine parameters before the linear head. A batch must then
            fit into memory, and into one process, as a whole.
        readout: ``"backbone"`` is its own; ``"mae_average"`` is the official MAE code's: the final norm of
            the mean over patches and, where they have outputs in the last block, prompts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    grid: ClassVar[Grid | None] = None
    head_norm: Literal["none", "batch"] = "none"
    readout: Readout = "backbone"

    @abstractmethod
    def insertion(self, backbone: Backbone) -> Insertion:
        """How its prompts meet the tokens."""

    @abstractmethod
    def initialization(self) -> Initialization | None:
        """Where its prompts start; None without prompts."""

    def condensation(self) -> Condensation | None:
        """Which of its prompts are kept after training; None keeps all."""
        return None

    @abstractmethod
    def trainable(self) -> Trainable:
        """What is trained besides the head."""

    @abstractmethod
    def recipe(self, pretraining: Pretraining) -> Recipe:
        """Its published recipe for a kind of pretraining."""

    def describe(self) -> dict[str, Any]:
        """Name and fields, as adapter_config.json keeps them."""
        return {"name": self.name, **self.model_dump(mode="json")}

    def build(
        self,
        backbone: Backbone,
        num_classes: int,
        protocol: Protocol | None = None,
        class_names: list[str] | None = None,
        seed: int = 0,
    ) -> PromptedModel:
        """The model that the method stands for.

        Args:
            backbone: The transformer; it stays as it is, as the model has a private copy.
            num_classes: Outputs of the head.
            protocol: What images it will see; the backbone's own by default.
            class_names: Names of the outputs.
            seed: Seed of the starts of the head and of what the insertion owns beside prompts; torch's own
                generators are left as they are.
        """
        protocol = protocol or protocol_for(backbone.info)
        if protocol.image_size != backbone.info.image_size:
            raise UserError(
                f"The protocol has images of {protocol.image_size} pixels, the backbone wants "
                f"{backbone.info.image_size}: load it with image_size={protocol.image_size}."
            )
        if num_classes < 2:
            raise UserError(f"A classifier needs two classes or more, and num_classes is {num_classes}.")
        with drawing(seed):
            head = Head(backbone.num_features, num_classes, self.head_norm)
        return PromptedModel(
            backbone,
            self.insertion(backbone),
            head,
            method=self.describe(),
            protocol=protocol,
            trainable=self.trainable(),
            initialization=self.initialization(),
            readout="average" if self.readout == "mae_average" else "backbone",
            class_names=class_names,
            seed=seed,
        )


class PromptMethod(Method, ABC):
    """What methods with prompts share. Each field is an answer that combines with every method.

    Args:
        num_prompts: Prompts P of each block.
        prototypes: Start as prototypes of the task's own patch tokens, as SPT does; None is the paper's own start.
        prototype_share: Share of the training images that prototypes are made from, at least one image.
        prompt_rms: Scale each layer's start to this root mean square (see `Rescaled`); None leaves it.
        prompt_dropout: Dropout on each sample's copy of the prompts; keys and values are then made per sample.
        frozen_prompts: Train the head only, on prompts as they start.
        keep: Share of the prompts that condensation keeps after training (see `Saliency`); 1 keeps all.
    """

    num_prompts: int = Field(default=20, ge=1)
    prototypes: Kind | None = None
    prototype_share: float = Field(default=1.0, gt=0, le=1)
    prompt_rms: float | None = Field(default=None, gt=0)
    prompt_dropout: float = Field(default=0.0, ge=0, lt=1)
    frozen_prompts: bool = False
    keep: float = Field(default=1.0, gt=0, le=1)

    @abstractmethod
    def start(self) -> Initialization:
        """The paper's own start, where the prompts are not prototypes."""

    def initialization(self) -> Initialization:
        start = self.start() if self.prototypes is None else Prototypes(self.prototypes)
        return start if self.prompt_rms is None else Rescaled(start, self.prompt_rms)

    def condensation(self) -> Condensation | None:
        return Saliency(self.keep) if self.keep < 1 else None

    def trainable(self) -> Trainable:
        return "head" if self.frozen_prompts else "prompts"

    def deep(self, backbone: Backbone, parametrization: Parametrization | None = None) -> Deep:
        """Prompts at every block, as keys and values."""
        return Deep(
            backbone.depth,
            self.num_prompts,
            backbone.width,
            dropout=self.prompt_dropout,
            parametrization=parametrization,
            keep_outputs=self.readout == "mae_average",
        )


class TokenPrompts(PromptMethod, ABC):
    """What methods with VPT's two insertions share, whatever their prompts start from.

    Args:
        shallow: Prompts at the input only.
    """

    shallow: bool = False

    def insertion(self, backbone: Backbone) -> Insertion:
        if not self.shallow:
            return self.deep(backbone)
        keep = self.readout == "mae_average"
        return Shallow(self.num_prompts, backbone.width, dropout=self.prompt_dropout, keep_outputs=keep)


class WithoutPrompts(Method, ABC):
    """What the baselines share."""

    def insertion(self, backbone: Backbone) -> Insertion:
        return NoPrompts()

    def initialization(self) -> None:
        return None
