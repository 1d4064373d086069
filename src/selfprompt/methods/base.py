"""What a paper's file says: its answers to the six questions, and its published recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.data.protocol import Protocol, protocol_for
from selfprompt.errors import UserError
from selfprompt.model import Head, PromptedModel, Trainable
from selfprompt.prompts.base import Initialization, Insertion
from selfprompt.prompts.initialization.rescaled import Rescaled
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.prompts.insertion.shallow import Shallow
from selfprompt.recipe import Recipe

Readout = Literal["backbone", "mae_average"]


class Method(BaseModel, ABC):
    """A frozen description of a method: its fields are its hyper-parameters; it holds no tensors.

    Args:
        head_norm: ``"batch"`` puts a BatchNorm without affine parameters before the linear head.
        readout: ``"backbone"`` is its own; ``"mae_average"`` is the official MAE code's: the final norm of
            the mean over patches and, where they have outputs in the last block, prompts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    head_norm: Literal["none", "batch"] = "none"
    readout: Readout = "backbone"

    @abstractmethod
    def insertion(self, backbone: Backbone) -> Insertion:
        """How its prompts meet the tokens."""

    @abstractmethod
    def initialization(self) -> Initialization | None:
        """Where its prompts start; None without prompts."""

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
            backbone: The transformer; its weights are frozen unless the method trains them.
            num_classes: Outputs of the head.
            protocol: What images it will see; the backbone's own by default.
            class_names: Names of the outputs.
            seed: Seed of the head's start; torch's own generators are left as they are.
        """
        protocol = protocol or protocol_for(backbone.info)
        if protocol.image_size != backbone.info.image_size:
            raise UserError(
                f"The protocol has images of {protocol.image_size} pixels, the backbone wants "
                f"{backbone.info.image_size}: load it with image_size={protocol.image_size}."
            )
        if num_classes < 2:
            raise UserError(f"A classifier needs two classes or more, and num_classes is {num_classes}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
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
        )


class TokenPrompts(Method, ABC):
    """What VPT's insertions share, whatever their prompts start from.

    Args:
        num_prompts: Prompts P of each block.
        shallow: Prompts at the input only.
        prompt_rms: Scale each layer's start to this root mean square (see `Rescaled`); None leaves it.
        prompt_dropout: Dropout on each sample's copy of the prompts; keys and values are then made per sample.
        frozen_prompts: Train the head only, on prompts as they start.
    """

    num_prompts: int = Field(default=20, ge=1)
    shallow: bool = False
    prompt_rms: float | None = Field(default=None, gt=0)
    prompt_dropout: float = Field(default=0.0, ge=0, lt=1)
    frozen_prompts: bool = False

    @abstractmethod
    def start(self) -> Initialization:
        """Where the prompts start, before any rescaling."""

    def insertion(self, backbone: Backbone) -> Insertion:
        keep = self.readout == "mae_average"
        if self.shallow:
            return Shallow(backbone.width, self.num_prompts, dropout=self.prompt_dropout, keep_outputs=keep)
        return Deep(backbone.depth, backbone.width, self.num_prompts, dropout=self.prompt_dropout, keep_outputs=keep)

    def initialization(self) -> Initialization:
        return self.start() if self.prompt_rms is None else Rescaled(self.start(), self.prompt_rms)

    def trainable(self) -> Trainable:
        return "head" if self.frozen_prompts else "prompts"


class WithoutPrompts(Method, ABC):
    """What the baselines share."""

    def insertion(self, backbone: Backbone) -> Insertion:
        return NoPrompts()

    def initialization(self) -> None:
        return None
