"""What an adapter holds of a model, and its file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn

from selfprompt import registry
from selfprompt.adapters.card import model_card
from selfprompt.adapters.format import AdapterConfig, BackboneReference, write_adapter
from selfprompt.backbones.base import Backbone
from selfprompt.data.protocol import BaseProtocol
from selfprompt.errors import UserError
from selfprompt.files import replace_file
from selfprompt.heads.base import Head
from selfprompt.methods.base import Method
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.prompted import PromptInsertion
from selfprompt.scores.calibration import Calibration
from selfprompt.tower import Tower


class WithAdapter(nn.Module, ModelHubMixin, ABC):
    """A model whose trained part an adapter holds: `selfprompt.model.PromptedModel` is the one there is."""

    head: Head
    method: Method
    protocol: BaseProtocol
    class_names: list[str] | None
    backbone_hash: str
    sources: Tensor | None
    initialized: bool
    metrics: dict[str, Any] | None
    calibration: Calibration | None
    thresholds: list[float] | None

    @property
    @abstractmethod
    def towers(self) -> dict[str, Tower]:
        """Every transformer that may hold something trained, by what it takes."""

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """The frozen transformer."""

    @property
    @abstractmethod
    def insertion(self) -> Insertion:
        """How prompts meet the tokens."""

    @property
    def prompts(self) -> nn.Parameter | None:
        """The trained prompts, (layers, P, D); layers is 1 for shallow ones. Condensed ones are (K, D)."""
        return self.insertion.prompts

    def count_parameters(self) -> tuple[int, int]:
        """Trainable and total parameters, the head counted in both; what pruning masks or fixes is not trained."""
        counts = [(p.numel(), p.requires_grad) for p in self.parameters()]
        idle = self.insertion.idle if self.prompts is not None and self.prompts.requires_grad else 0
        return sum(n for n, trained in counts if trained) - idle, sum(n for n, _ in counts)

    def adapter_state(self) -> dict[str, Tensor]:
        """What an adapter holds: prompts, head with its buffers, and backbone weights where they are trained."""
        state: dict[str, Tensor] = {}
        for name, tower in self.towers.items():
            state |= {f"towers.{name}.insertion.{k}": v for k, v in tower.insertion.state_dict().items()}
        state |= {f"head.{k}": v for k, v in self.head.state_dict().items() if not k.startswith("text.")}
        for name, tower in self.towers.items():
            trained = {k: p.detach() for k, p in tower.backbone.named_parameters() if p.requires_grad}
            state |= {f"towers.{name}.backbone.{k}": p for k, p in trained.items()}
        return state

    def worth_keeping(self) -> dict[str, Tensor]:
        """`adapter_state`, for what outlives the model.

        Raises:
            UserError: The prompts were never started, or a weight is NaN or infinite.
        """
        state = self.adapter_state()
        if not self.initialized and self.prompts is not None and not self.prompts.any():
            raise UserError("The model's prompts are as they were made, all 0: call initialize or fit first.")
        if odd := not_finite(state):
            raise UserError(f"The model's weight {odd} is NaN or infinite: train it again, with a smaller --lr.")
        return state

    @torch.no_grad()
    def load_adapter_state(self, state: dict[str, Tensor]) -> None:
        """Set what `adapter_state` gives.

        Raises:
            UserError: A weight is missing, unknown, or of another shape or type.
        """
        for name, tower in self.towers.items():
            if isinstance(tower.insertion, PromptInsertion):
                tower.insertion.expect({k.removeprefix(f"towers.{name}.insertion."): v for k, v in state.items()})
        own = self.adapter_state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[0]
            raise UserError(f"The adapter {'lacks' if odd in own else 'has an unknown'} weight {odd}.")
        for name, value in state.items():
            if own[name].shape != value.shape:
                raise UserError(
                    f"The adapter's {name} has the shape {tuple(value.shape)}, the model's {tuple(own[name].shape)}."
                )
            if own[name].dtype != value.dtype and not (value.is_floating_point() and own[name].is_floating_point()):
                raise UserError(f"The adapter's {name} is of {value.dtype}, the model's of {own[name].dtype}.")
            own[name].copy_(value)
        self.initialized = True

    def set_sources(self, sources: Tensor | None) -> None:
        """Set where each prompt came from (see `Prompts`).

        Raises:
            UserError: There are not as many as prompts, or the backbone has no such patches.
        """
        if sources is not None:
            counts = getattr(self.insertion, "counts", None)  # of condensed prompts, whose sources are -1 where gone
            least, fits = 0, self.prompts is not None and sources.shape == (*self.prompts.shape[:2], 2)
            if counts is not None:
                least, fits = -1, sources.ndim == 3 and sources.shape[::2] == (len(counts), 2)
            fits = fits and not sources.is_floating_point() and sources.min() >= least
            if not fits or sources[..., 1].max() >= self.backbone.num_patches:
                raise UserError("Its sources are not of its prompts.")
        self.sources = sources

    def adapter_config(self) -> AdapterConfig:
        """The contents of adapter_config.json."""
        info = self.backbone.info
        return AdapterConfig(
            selfprompt_version=registry.version("selfprompt"),
            method=self.method.describe(),
            backbone=BackboneReference(
                name=info.name,
                architecture=info.architecture,
                pretraining=info.pretraining,
                image_size=info.image_size,
                hash=self.backbone_hash,
            ),
            num_classes=self.head.num_classes,
            class_names=self.class_names,
            protocol=self.protocol,
            sources=None if self.sources is None else self.sources.tolist(),
            metrics=self.metrics,
            calibration=self.calibration,
            thresholds=self.thresholds,
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        write_adapter(Path(save_directory), self.adapter_config(), self.worth_keeping())
        replace_file(Path(save_directory) / "README.md", str(self.generate_model_card()))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The README.md that stands beside an adapter."""
        return model_card(self.adapter_config(), *self.count_parameters())


def not_finite(state: dict[str, Tensor]) -> str | None:
    """The name of a weight that holds NaN or infinity; None if there is none."""
    return next((name for name, value in state.items() if not value.isfinite().all()), None)
