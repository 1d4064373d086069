"""What a paper's file says: its answers to the six questions, and its published recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from selfprompt.backbones.base import Backbone, Pretraining, Readout
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


@dataclass(frozen=True)
class Grid:
    """The learning rates and weight decays that a paper searches for every task.

    Args:
        lr, weight_decay: The values.
        base: The rates are base rates, each used times batch / 256, as VPT's code does; so is the recipe's.
    """

    lr: tuple[float, ...]
    weight_decay: tuple[float, ...]
    base: bool = False

    def rates(self, batch_size: int) -> list[float]:
        """The learning rates for a batch."""
        return [rate * batch_size / 256 if self.base else rate for rate in self.lr]


VPT_GRID = Grid((0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0), (0.0, 1e-4, 1e-3, 1e-2), base=True)
"""VPT's grid for VTAB (arXiv 2203.12119), which E2VPT and VFPT search, too; VPT's for FGVC lacks the rate of 0.05."""

VPT_RECIPE = Recipe(optimizer="sgd", lr=64 / 256, batch_size=64, weight_decay=1e-3, head_weight_decay=1e-3)
"""VPT's documented run on DMLab and EuroSAT: base rate 1.0 times batch / 256."""


class Method(BaseModel, ABC):
    """A frozen description of a method: its fields are its hyper-parameters; it holds no tensors.

    Args:
        head_norm: ``"batch"`` puts a BatchNorm without affine parameters before the linear head. A batch must then
            fit into memory, and into one process, as a whole.
        readout: What the head reads: ``"backbone"`` is its own feature; ``"mae_average"`` the final norm of the mean
            over patches and, where they have outputs in the last block, prompts (SPT's under MAE);
            ``"fresh_average"`` the same mean under a LayerNorm without scale and shift (VPT's under MAE). None is the
            paper's for the backbone's pretraining (`published_readout`), settled when the model is built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    grid: ClassVar[Grid | None] = None
    head_norm: Literal["none", "batch"] = "none"
    readout: Readout | None = None

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

    def recipe_with(self, pretraining: Pretraining, changes: dict[str, Any]) -> Recipe:
        """The published recipe with a user's changes.

        Where the paper's rate is a base rate times batch / 256, another batch changes the rate, unless the changes
        name one.
        """
        own = self.recipe(pretraining)
        if self.grid and self.grid.base and changes.get("batch_size") and "lr" not in changes:
            changes = {**changes, "lr": own.lr * changes["batch_size"] / own.batch_size}
        return Recipe(**(own.model_dump() | changes))

    def published_readout(self, pretraining: Pretraining) -> Readout:
        """What the head reads in the paper: by default what VPT's code does, with which the baselines are measured.

        Under MAE that is the mean over all tokens but the class token, and a fresh norm in the place of the
        pretrained one.
        """
        return "fresh_average" if pretraining == "mae" else "backbone"

    def head_std(self, pretraining: Pretraining) -> float:
        """Deviation of the head's start."""
        return 0.02

    def settled(self, pretraining: Pretraining) -> Method:
        """The same method, with what was left open as published for a kind of pretraining."""
        return self.model_copy(update={"readout": self.readout or self.published_readout(pretraining)})

    @property
    def averages(self) -> bool:
        """Whether the readout is a mean, in which the prompts' outputs take part."""
        return self.readout not in (None, "backbone")

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
        method = self.settled(backbone.info.pretraining)
        with drawing(seed):
            std = method.head_std(backbone.info.pretraining)
            head = Head(backbone.num_features, num_classes, self.head_norm, std)
        return PromptedModel(
            backbone,
            method.insertion(backbone),
            head,
            method=method.describe(),
            protocol=protocol,
            trainable=method.trainable(),
            initialization=method.initialization(),
            readout=method.readout or "backbone",
            class_names=class_names,
            seed=seed,
        )


class PromptMethod(Method, ABC):
    """What methods with prompts share. Each field is an answer that combines with every method.

    Args:
        num_prompts: Prompts P of each block; None is 20, with which SPT compares, or 100 for shallow ones.
        prototypes: Start as prototypes of the task's own patch tokens, as SPT does; None is the paper's own start.
        prototype_share: Share of the training images that prototypes are made from, at least one image.
        prompt_rms: Scale each layer's start to this root mean square (see `Rescaled`); None leaves it.
        prompt_dropout: Dropout on each sample's copy of the prompts; keys and values are then made per sample.
        frozen_prompts: Train the head only, on prompts as they start.
        keep: Share of the prompts that condensation keeps after two thirds of the epochs (see `Saliency`); 1 keeps
            all.
    """

    num_prompts: int | None = Field(default=None, ge=1)
    prototypes: Kind | None = None
    prototype_share: float = Field(default=1.0, gt=0, le=1)
    prompt_rms: float | None = Field(default=None, gt=0, le=1e15)  # whose squares float32 adds up
    prompt_dropout: float = Field(default=0.0, ge=0, lt=1)
    frozen_prompts: bool = False
    keep: float = Field(default=1.0, gt=0, le=1)

    @abstractmethod
    def start(self) -> Initialization:
        """The paper's own start, where the prompts are not prototypes."""

    @property
    def count(self) -> int:
        """Prompts of each block."""
        return self.num_prompts or 20

    def settled(self, pretraining: Pretraining) -> Method:
        return super().settled(pretraining).model_copy(update={"num_prompts": self.count})

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
            self.count,
            backbone.width,
            dropout=self.prompt_dropout,
            parametrization=parametrization,
            keep_outputs=self.averages,
        )


class TokenPrompts(PromptMethod, ABC):
    """What methods with VPT's two insertions share, whatever their prompts start from.

    Args:
        shallow: Prompts at the input only, 100 unless ``num_prompts`` says otherwise.
    """

    shallow: bool = False

    @property
    def count(self) -> int:
        return self.num_prompts or (100 if self.shallow else 20)

    def insertion(self, backbone: Backbone) -> Insertion:
        if not self.shallow:
            return self.deep(backbone)
        return Shallow(self.count, backbone.width, dropout=self.prompt_dropout, keep_outputs=self.averages)


class WithoutPrompts(Method, ABC):
    """What the baselines share."""

    def insertion(self, backbone: Backbone) -> Insertion:
        return NoPrompts()

    def initialization(self) -> None:
        return None
