"""Many adapters on one frozen backbone."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfprompt.adapters.format import AdapterConfig, adapter_in, find_adapter, read_files
from selfprompt.assembly import rebuilt
from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.clip import DualEncoder
from selfprompt.backbones.load import BackboneSource, load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.protocol import TextProtocol, protocol_for
from selfprompt.errors import UserError, unknown
from selfprompt.inputs import Inputs, Text, count, images_of, move
from selfprompt.methods import from_description
from selfprompt.model import PromptedModel
from selfprompt.prompts.insertion.deep import AtEveryBlock
from selfprompt.prompts.insertion.key_value import KeyValue
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.serving.bank import Bank, Member, scores_of

VIEW = ("resize", "crop_fraction", "interpolation", "mean", "std", "value_range")
"""What adapters of one pool must agree in: how an image becomes the tensor that is given to it."""


class AdapterPool(nn.Module):
    """Adapters that answer together: each sample of a batch sees its own task's prompts and head.

    Samples are images; or texts, each in its own adapter's template, whose prompts may stand among the words, too.
    The batch goes through the backbone once. Each sample's prompts are keys and values, made of a bank's; where
    adapters differ in their number of prompts, a mask hides the padding, and those of a head alone have none. Of an
    image-text model, the texts of an adapter's classes are computed once, when it is added. Backbone and adapters
    that are given stay as they are: the pool has copies of what it needs.

    Args:
        backbone: What `create_model` takes.
        image_size: Side of the input in pixels, if not the backbone's own.

    Attributes:
        bank: What the adapters added so far have brought; see `Bank`. Whoever answers reads it once.
        changing: Held by whoever puts another in its place.
    """

    def __init__(self, backbone: BackboneSource, image_size: int | None = None) -> None:
        super().__init__()
        self.source = load_backbone(backbone, image_size).private()
        image = self.source.image if isinstance(self.source, DualEncoder) else self.source
        self.backbone = image.private()
        self.source.seal()
        self.bank = Bank({}, next(self.backbone.parameters()))
        self.changing = Lock()

    @property
    def names(self) -> list[str]:
        """The tasks' names, in the order in which they came."""
        return list(self.bank.members)

    def add(self, name: str, adapter: str | os.PathLike[str] | PromptedModel, replace: bool = False) -> None:
        """Take in an adapter under a task's name.

        Args:
            name: The task.
            adapter: A folder, a hub repository, or a model around the same weights.
            replace: Whether it may take the place of another of that name.

        Raises:
            UserError: The name is taken, or none; the adapter is none, its prompts were never started, are NaN, or
                are not keys and values; or the backbone's weights, the images' size, resizing or normalisation, or
                the readout differ from the pool's.
        """
        if not isinstance(name, str):
            raise UserError(f"The adapter's name is {name!r:.60}: give text.")
        with self.changing:
            members = dict(self.bank.members)
            if members.pop(name, None) and not replace:
                raise UserError(f"The pool has an adapter named {name!r} already: remove it first.")
            member = self._member(name, adapter, members)
            self.bank = Bank({**self.bank.members, name: member}, next(self.backbone.parameters()))

    def remove(self, name: str) -> None:
        """Remove an adapter.

        Raises:
            UserError: There is none of that name.
        """
        with self.changing:
            if name not in self.bank.members:
                raise unknown("adapter", name, self.bank.members)
            members = {other: member for other, member in self.bank.members.items() if other != name}
            self.bank = Bank(members, next(self.backbone.parameters()))

    def _member(
        self, name: str, adapter: str | os.PathLike[str] | PromptedModel, others: dict[str, Member]
    ) -> Member:
        """What the pool keeps of an adapter that it can serve beside others."""
        model, version = self._model(name, adapter, others)
        insertion = copy.deepcopy(model.tower.insertion).eval()
        heads, inner = self.backbone.num_heads, self.backbone.head_width
        like = next(self.backbone.parameters())
        prompts = [like.new_empty(0, self.backbone.width)] * self.backbone.depth
        with torch.no_grad(), torch.autocast(like.device.type, enabled=False):
            words = insertion.layer(0, 1).detach() if isinstance(insertion, AmongWords) else prompts[0]
            if isinstance(insertion, AtEveryBlock):
                prompts = [insertion.layer(i, 1).detach() for i in range(self.backbone.depth)]
            weight, bias, cosine = scores_of(name, model)
            head = weight / model.temperature, bias / model.temperature, cosine
        free = like.new_empty(len(prompts), heads, 0, inner)
        if isinstance(insertion, KeyValue):
            free = insertion.key_values.detach()
        known = (model.class_names, model.protocol, version, model.thresholds, model.calibration)
        return Member(prompts, free, words, model.readout, *head, *known)

    def _model(
        self, name: str, adapter: str | os.PathLike[str] | PromptedModel, others: dict[str, Member]
    ) -> tuple[PromptedModel, str | None]:
        """The model of an adapter, and its version; what it is refused for is seen before it is built."""
        if isinstance(adapter, PromptedModel):
            adapter.worth_keeping()
            self._check(name, adapter.adapter_config(), others)
            return adapter, None
        folder = find_adapter(adapter)
        files = read_files(folder)
        config, state = adapter_in(folder, *files)
        self._check(name, config, others)
        model = rebuilt(folder, config, state, self.source)
        if read_files(folder) != files:  # one may have been of the adapter that was there before
            raise UserError(f"{folder} was being saved: load it again.")
        return model, hashlib.sha256(b"".join(files)).hexdigest()

    def _check(self, name: str, config: AdapterConfig, others: dict[str, Member]) -> None:
        """Refuse what the pool cannot serve, before anything is made of it."""
        taken = "text" if isinstance(self.backbone, TextBackbone) else "image"
        if config.protocol.inputs != taken:
            raise UserError(
                f"{name!r} takes {config.protocol.inputs}s, and the pool's backbone {taken}s: use a second pool."
            )
        part = from_description(config.method).part("inputs")
        insertion = part.insertion(self.backbone) if part else NoPrompts()
        if insertion.reads_text or not isinstance(insertion, (AtEveryBlock, AmongWords, NoPrompts)):
            raise UserError(
                f"{name!r} is a {config.method['name']} adapter that a pool cannot serve: it takes deep prompts "
                f"that are keys and values alone, such as vpt's, those among the words of texts, and heads alone."
            )
        if from_description(config.method).trainable() == "backbone":
            raise UserError(f"{name!r} has weights of the backbone in it, which a pool shares: serve it by itself.")
        size = self.backbone.info.image_size
        if config.protocol.side != size:
            raise UserError(
                f"{name!r} was trained on images of {config.protocol.side} pixels and the pool's backbone sees "
                f"{size}: make the pool with image_size={config.protocol.side}."
            )
        if not self.source.answers_to(config.backbone.hash):
            raise UserError(f"{name!r} was trained on another backbone than the pool's: use a second pool.")
        if not others:
            return
        first, known = next(iter(others.items()))
        reads = "words" if from_description(config.method).head() == "label_words" else config.method["readout"]
        if known.readout != reads:
            raise UserError(
                f"{name!r} reads {reads}, and {first!r} {known.readout}: use a second pool, or "
                f"train with one --readout."
            )
        view = () if size is None else VIEW
        if odd := next((f for f in view if getattr(known.protocol, f) != getattr(config.protocol, f)), None):
            raise UserError(
                f"{name!r} was trained on images with {odd.replace('_', ' ')} {getattr(config.protocol, odd)}, and "
                f"{first!r} with {getattr(known.protocol, odd)}: use a second pool."
            )

    @torch.no_grad()
    def forward(self, images: Any, tasks: str | Sequence[str], bank: Bank | None = None) -> list[Tensor]:
        """Logits of each sample, (C,) for the C classes of its task: their softmax is the adapter's probabilities.

        Args:
            images: (B, 3, H, W), uint8 or normalised floats; or B texts, strings or tuples of several.
            tasks: B names, or one for all.
            bank: A bank that the pool has or had; by default the one that it has.

        Raises:
            UserError: A name is unknown, there are more or fewer than images, or the images are no such tensor.
        """
        bank = bank or self.bank
        tasks = tasks_of(tasks, counted(images), bank)
        return self.scores(self.features(images, tasks, bank), tasks, bank)

    def scores(self, features: Tensor, tasks: Sequence[str], bank: Bank) -> list[Tensor]:
        """Logits (C,) that the tasks' heads make of (B, F) features."""
        rows = torch.tensor([bank.rows[task] for task in tasks], device=features.device, dtype=torch.long)
        unit = F.normalize(features.float(), dim=-1).to(features)
        features = torch.where(bank.get_buffer("cosine")[rows, None], unit, features)
        weights, biases = bank.get_buffer("weights")[rows], bank.get_buffer("biases")[rows]
        logits = torch.baddbmm(biases[..., None], weights, features[..., None].to(weights.dtype)).squeeze(-1)
        return [row[: len(bank.members[task].bias)] for row, task in zip(logits, tasks)]

    def _read(self, texts: Any, tasks: str | Sequence[str] | None, bank: Bank) -> Inputs:
        """Texts as a batch, each in the template of its own task; a batch as it is."""
        if isinstance(texts, Text):
            return self.backbone.as_input(texts, as_it_is)
        if isinstance(texts, (str, Tensor)) or not isinstance(texts, Sequence):
            raise UserError(f"The pool takes texts: give a list of strings, not a {type(texts).__name__}.")
        if tasks is None:
            protocols = [TextProtocol().read_by(self.backbone, None)] * len(texts)
        else:
            protocols = [bank.members[task].protocol for task in tasks_of(tasks, len(texts), bank)]
        views = [protocol.view() for protocol in protocols]
        filled = [view.read(view.accept(text)) for view, text in zip(views, texts)]
        batch = views[0].collate(filled, len(filled))
        return self.backbone.as_input(move(batch, next(self.backbone.parameters()).device), as_it_is)

    @torch.no_grad()
    def features(self, images: Any, tasks: str | Sequence[str] | None, bank: Bank | None = None) -> Tensor:
        """(B, F) features: what the heads of the tasks read, or without tasks what the frozen backbone gives.

        Arguments and errors as of `forward`.
        """
        bank = bank or self.bank
        protocol = bank.protocol or protocol_for(self.backbone.info)
        if protocol.inputs == "text":
            given = self._read(images, tasks, bank)
        else:
            given = images_of(self.backbone.as_input(images, protocol.view().prepare))
        if tasks is None or bank.readout is None:
            return self.backbone.readout(self.backbone.run(given, UNEDITED), "backbone")
        like = next(self.backbone.parameters())
        own = [bank.rows[task] for task in tasks_of(tasks, count(given), bank)]
        rows = torch.tensor(own, device=like.device, dtype=torch.long)
        if not len(rows):
            return like.new_empty(0, self.backbone.num_features)
        read = self.backbone.read_by(bank.readout)
        tokens = self.backbone.run(given, bank, rows=rows, read=read)
        return self.backbone.readout(tokens, bank.readout)

    def probabilities(self, images: Any, tasks: str | Sequence[str], bank: Bank | None = None) -> list[Tensor]:
        """Each sample's probabilities, (C,) for the C classes of its task; arguments and errors as of `forward`."""
        bank = bank or self.bank
        tasks = tasks_of(tasks, counted(images), bank)
        return [bank.members[task].probabilities(row) for task, row in zip(tasks, self(images, tasks, bank))]

    def predict(self, images: Any, tasks: str | Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest class of each sample in its task, and its probability."""
        bank, answers = self.bank, []
        tasks = tasks_of(tasks, counted(images), bank)
        for task, found in zip(tasks, self.probabilities(images, tasks, bank)):
            probability, label = found.max(-1)
            answers.append((bank.members[task].names[int(label)], float(probability)))
        return answers


def as_it_is(inputs: Inputs) -> Inputs:
    """Texts need no more to be done."""
    return inputs


def counted(samples: Any) -> int | None:
    """How many samples there are; None where that is no batch."""
    if isinstance(samples, (Tensor, Text)):
        return count(samples)
    return len(samples) if isinstance(samples, Sequence) and not isinstance(samples, str) else None


def tasks_of(tasks: str | Sequence[str], count: int | None, bank: Bank) -> Sequence[str]:
    """The task of each of ``count`` images, where that is known.

    Raises:
        UserError: The bank has no such task, or there are more or fewer than images.
    """
    if bank.protocol is None:
        raise UserError("The pool has no adapter yet: add one first.")
    tasks = [tasks] * (count or 0) if isinstance(tasks, str) else tasks
    if not isinstance(tasks, Sequence) or not all(isinstance(task, str) for task in tasks):
        raise UserError(f"The tasks are {tasks!r:.60}: give an adapter's name, or a list of one for each image.")
    if count is not None and len(tasks) != count:
        raise UserError(f"There are {count} images and {len(tasks)} task names: give one for each.")
    if odd := next((task for task in tasks if task not in bank.rows), None):
        raise unknown("adapter", odd, bank.rows)
    return tasks
