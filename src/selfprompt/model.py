"""The prompted model: a frozen backbone, the way prompts meet its tokens, and a head. Read this first."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from selfprompt import registry
from selfprompt.adapters import (
    CONFIG_NAME,
    FILES,
    FIX,
    WEIGHTS_NAME,
    AdapterConfig,
    BackboneReference,
    read_adapter,
    write_adapter,
)
from selfprompt.backbones import load_backbone
from selfprompt.backbones.base import Backbone, Readout
from selfprompt.card import render_card
from selfprompt.data.loading import Normalize
from selfprompt.data.protocol import Protocol
from selfprompt.errors import UserError, first_line
from selfprompt.files import replace_file, using
from selfprompt.prompts.base import Initialization, Insertion, PromptInsertion

Trainable = Literal["prompts", "head", "bias", "all"]
"""What is trained besides the head: prompts, nothing, the backbone's biases, or everything."""


class Head(nn.Module):
    """A linear classifier on the readout, after an optional normalisation without parameters.

    The weight starts from a normal cut at -2 and 2, the bias at 0 (as in SPT's code).

    Args:
        num_features: Width F of the readout.
        num_classes: Classes C.
        norm: ``"batch"`` puts a BatchNorm without affine parameters before the classifier, as MAE's linear probing
            does (He et al., arXiv 2111.06377, A.1).
        std: Deviation of the normal.

    Shape: (B, F) to (B, C).
    """

    def __init__(
        self, num_features: int, num_classes: int, norm: Literal["none", "batch"] = "none", std: float = 0.02
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_features, affine=False, eps=1e-6) if norm == "batch" else nn.Identity()
        self.linear = nn.Linear(num_features, num_classes)
        nn.init.trunc_normal_(self.linear.weight, std=std)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features to logits."""
        return self.linear(self.norm(features).to(self.linear.weight.dtype))


class PromptedModel(nn.Module, ModelHubMixin, library_name="selfprompt"):
    """A frozen backbone with prompts and a head of its own. Made by `selfprompt.create_model`.

    Args:
        backbone: The frozen transformer; the model has a private copy, and the caller's stays as it is.
        insertion: How prompts meet its tokens; owns the prompts.
        head: Readout features to logits.
        method: The method's name and fields, as adapter_config.json keeps them.
        protocol: What images the model wants.
        trainable: Which parameters are trained.
        initialization: Where prompts start; None where there are none.
        readout: See `Backbone.readout`.
        class_names: Names of the head's outputs.
        seed: Seed of what the insertion owns beside prompts.

    Attributes:
        prompts: The trained prompts, one parameter (layers, P, D); None for a method without.
        checkpointing: Whether blocks keep no activations for the backward pass (see `Recipe`).
    """

    def __init__(
        self,
        backbone: Backbone,
        insertion: Insertion,
        head: nn.Module,
        *,
        method: dict[str, Any],
        protocol: Protocol,
        trainable: Trainable = "prompts",
        initialization: Initialization | None = None,
        readout: Readout = "backbone",
        class_names: list[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._hub_mixin_config = None  # adapter_config.json takes the place of the mixin's config.json
        backbone = backbone.own.private()
        self.backbone, self.insertion, self.head = backbone, insertion, head
        self.method, self.protocol, self.class_names = method, protocol, class_names
        self.initialization = initialization
        self.readout: Readout = readout
        self.sources: Tensor | None = None
        self.initialized = initialization is None
        self.metrics: dict[str, Any] | None = None
        self.checkpointing = False
        self.backbone_hash = backbone.fingerprint()
        self.normalize = Normalize(protocol.mean, protocol.std)
        for name, parameter in backbone.named_parameters():
            trained = trainable == "all" or (trainable == "bias" and name.endswith("bias"))
            parameter.requires_grad_(trained)
            if trained:
                parameter.data = parameter.data.clone()
        for module in backbone.unread(readout):
            module.requires_grad_(False)
        insertion.requires_grad_(trainable in ("prompts", "all"))
        insertion.attach(backbone, seed)

    @property
    def prompts(self) -> nn.Parameter | None:
        """The trained prompts, (layers, P, D); layers is 1 for shallow ones. Condensed ones are (K, D)."""
        return self.insertion.prompts

    @property
    def num_classes(self) -> int:
        """Outputs of the head."""
        return self.head.linear.out_features  # type: ignore[union-attr,return-value]

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images to (B, F) features: what the head reads.

        Images are uint8, or already normalised floats.

        Raises:
            UserError: They are anything else, or of another size than the backbone takes.
        """
        images = self.backbone.as_input(images, self.normalize)
        tokens = self.insertion.enter(self.backbone, self.backbone.embed(images))
        last = self.backbone.depth - 1
        for i in range(self.backbone.depth):
            if (
                i == last and self.insertion.num_prompts
            ):  # without prompts, every sum is the backbone's own, to the bit
                tokens = tokens.reading(self.backbone.reads(self.readout))
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(self.insertion.block, self.backbone, i, tokens, use_reentrant=False)
            else:
                tokens = self.insertion.block(self.backbone, i, tokens)
        tokens = self.insertion.leave(self.backbone, tokens)
        return self.backbone.readout(tokens, self.readout)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images, uint8 or normalised floats, to (B, C) logits."""
        return self.head(self.features(images))

    @contextmanager
    def cast_frozen(self, dtype: torch.dtype = torch.bfloat16) -> Iterator[None]:
        """Inside, frozen matrices are held in ``dtype``: autocast would cast them anew at every use.

        For a training or inference loop of one's own under autocast, of which it changes no number; adapters are
        saved as outside. What is frozen must not be changed inside.
        """
        own = self.backbone
        self.backbone = own.cast(dtype)
        try:
            yield
        finally:
            self.backbone = own

    def initialize(self, batches: Iterable[Tensor | tuple[Tensor, ...]] = (), seed: int = 0) -> None:
        """Give the prompts their starting values, in one pass over the task's images.

        Args:
            batches: (B, 3, H, W) images, uint8 or normalised floats, or tuples that begin with them.
            seed: Seed of every draw.

        Raises:
            UserError: The batches give fewer tokens than there are prompts.
        """
        if self.initialization is None or not isinstance(self.insertion, PromptInsertion):
            return
        layers, num_prompts, _ = self.insertion.prompts.shape
        images = self._images(batches) if self.initialization.needs_data else ()
        start = self.initialization.prepare(self.backbone, images, layers, num_prompts, seed)
        self.insertion.start_from(start)
        self.sources, self.initialized = start.sources, True

    def _images(self, batches: Iterable[Tensor | tuple[Tensor, ...]]) -> Iterator[Tensor]:
        device = next(self.parameters()).device
        for batch in batches:
            images = batch[0] if isinstance(batch, (tuple, list)) else batch
            yield self.backbone.as_input(images, self.normalize).to(device)

    def count_parameters(self) -> tuple[int, int]:
        """Trainable and total parameters, the head counted in both; what pruning masks or fixes is not trained."""
        counts = [(p.numel(), p.requires_grad) for p in self.parameters()]
        idle = self.insertion.idle if self.prompts is not None and self.prompts.requires_grad else 0
        return sum(n for n, trained in counts if trained) - idle, sum(n for n, _ in counts)

    def adapter_state(self) -> dict[str, Tensor]:
        """What an adapter holds: prompts, head with its buffers, and backbone weights where they are trained."""
        state = {f"insertion.{k}": v for k, v in self.insertion.state_dict().items()}
        state |= {f"head.{k}": v for k, v in self.head.state_dict().items()}
        state |= {f"backbone.{k}": p.detach() for k, p in self.backbone.named_parameters() if p.requires_grad}
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
        if isinstance(self.insertion, PromptInsertion):
            self.insertion.expect({k.removeprefix("insertion."): v for k, v in state.items()})
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
            selfprompt_version=importlib.metadata.version("selfprompt"),
            method=self.method,
            backbone=BackboneReference(
                name=info.name,
                architecture=info.architecture,
                pretraining=info.pretraining,
                image_size=info.image_size,
                hash=self.backbone_hash,
            ),
            num_classes=self.num_classes,
            class_names=self.class_names,
            protocol=self.protocol,
            sources=None if self.sources is None else self.sources.tolist(),
            metrics=self.metrics,
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        write_adapter(Path(save_directory), self.adapter_config(), self.worth_keeping())
        replace_file(Path(save_directory) / "README.md", str(self.generate_model_card()))

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The README.md that stands beside an adapter."""
        return ModelCard(render_card(self.adapter_config(), *self.count_parameters()))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, backbone: Any = None, **hub: Any) -> PromptedModel:
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        return load(model_id, backbone, **{k: v for k, v in hub.items() if k in known})


def load(adapter: str | os.PathLike[str], backbone: Any = None, **hub: Any) -> PromptedModel:
    """Load an adapter: its backbone is found again by name or path, and its weights checked by hash.

    Of a repository, the adapter's two files are downloaded and nothing else.

    Args:
        adapter: A folder, or a repository of the Hugging Face hub.
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
        method = registry.build("method", config.method)
    model = method.build(found, config.num_classes, config.protocol, config.class_names)
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
    model.metrics = config.metrics
    return model.eval()


def not_finite(state: dict[str, Tensor]) -> str | None:
    """The name of a weight that holds NaN or infinity; None if there is none."""
    return next((name for name, value in state.items() if not value.isfinite().all()), None)


def find_adapter(adapter: str | os.PathLike[str], **hub: Any) -> Path:
    """An adapter's folder, fetched from the hub where it is none here.

    Raises:
        UserError: It is neither.
    """
    if not isinstance(adapter, (str, os.PathLike)):
        raise UserError(f"The adapter is {adapter!r:.60}: give its folder, or a repository of the hub.")
    folder = Path(adapter)
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(os.fspath(adapter), **{"allow_patterns": list(FILES), **hub}))
    except Exception as error:
        raise UserError(
            f"{adapter} is neither a folder here nor an adapter that the hub gives ({first_line(error)[:200]})."
        ) from error
