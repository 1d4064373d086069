"""What a paper's file says: its answers to the six questions, and its published recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict

from selfprompt.backbones.base import Backbone, Pretraining
from selfprompt.data.protocol import Protocol, protocol_for
from selfprompt.errors import UserError
from selfprompt.model import Head, PromptedModel, Trainable
from selfprompt.prompts.base import Initialization, Insertion
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.shallow import Shallow
from selfprompt.recipe import Recipe

Readout = Literal["backbone", "mae_average"]


class Method(BaseModel, ABC):
    """A frozen description of a method: its fields are its hyper-parameters; it holds no tensors.

    Args:
        head_norm: ``"batch"`` puts a BatchNorm without affine parameters before the linear head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    head_norm: Literal["none", "batch"] = "none"

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
            prompt_rms=getattr(self, "prompt_rms", None),
            readout="average" if getattr(self, "readout", "backbone") == "mae_average" else "backbone",
            class_names=class_names,
        )


def vpt_insertion(
    backbone: Backbone, *, shallow: bool, num_prompts: int, dropout: float, readout: Readout
) -> Insertion:
    """VPT's two insertions, which SPT shares; ``mae_average`` keeps the prompts' outputs for the readout."""
    keep = readout == "mae_average"
    if shallow:
        return Shallow(backbone.width, num_prompts, dropout=dropout, keep_outputs=keep)
    return Deep(backbone.depth, backbone.width, num_prompts, dropout=dropout, keep_outputs=keep)
