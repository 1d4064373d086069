"""Test-time prompt tuning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from selfprompt.adaptations.base import Adaptation, Adapted, of_views
from selfprompt.adaptations.derivative import EARNED, derivative, first_gradient, fits
from selfprompt.errors import UserError
from selfprompt.heads.class_text import ClassText
from selfprompt.inputs import Inputs, take
from selfprompt.model import PromptedModel
from selfprompt.objectives.entropy import confident, entropy, log_mean
from selfprompt.prompts.initialization.words import FromWords
from selfprompt.prompts.insertion.words import AmongWords
from selfprompt.registry import Record
from selfprompt.tower import Tower

TEXTS = 512
"""Texts that are tuned together: classes, times inputs."""


class TPT(Adaptation):
    """Shu et al., "Test-Time Prompt Tuning for Zero-Shot Generalization in Vision-Language Models", NeurIPS 2022,
    arXiv 2209.07511.

    Of N views of one unlabelled image, the share rho of which the model is surest are kept; the prompts take one step
    of AdamW, from a fresh state, that lowers the entropy of their mean probability,
    ``H(1/k sum_i softmax(scores(view_i, V)))``; with them the plain view is answered. Every image starts from the
    same prompts.

    What is tuned are the prompts among the words of the classes' texts; features of the views are computed once.
    Where a model of texts has no prompts at all, the words before the names are its prompts: of "a photo of a {}."
    the four. Where it has prompts for images alone, these are tuned, and the kept views are computed with gradients.

    Differences: at least one view is kept; views are cropped as the protocol interpolates (bicubic; the official
    code's crops are bilinear), and never by AugMix, which it adds for fine-grained data; texts are float32.

    Args:
        rho: The share of the views that is kept.
        steps: Of the optimiser, all on the views that were kept before the first.
        lr, weight_decay: AdamW's.
    """

    name: ClassVar[str] = "tpt"
    rho: float = Field(default=0.1, ge=0, le=1)
    steps: int = Field(default=1, ge=0)
    lr: float = Field(default=5e-3, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)

    def adapted(self, model: PromptedModel) -> Adapted:
        head = model.head
        if isinstance(head, ClassText) and head.per_class:
            raise UserError("Each class has prompts of its own here, and tpt tunes shared ones: train generic ones.")
        if isinstance(head, ClassText) and model.prompts is None:
            model = with_words(model, head)
            head = model.head
        if model.prompts is None:
            raise UserError("tpt tunes prompts, and this adapter has none: take one with prompts, or averaging.")
        among_words = isinstance(head, ClassText) and isinstance(head.text.insertion, AmongWords)
        return TunedTexts(model, self) if among_words else TunedImages(model, self)

    def tuned(self, start: Tensor, scores: Callable[[Tensor], Tensor], first: Tensor | None = None) -> Tensor:
        """The prompts after the steps.

        Args:
            start: Where they start, of each input or of one.
            scores: Of the views that are kept, (..., k, C), with such prompts.
            first: The loss's gradient at the start, where it is known.
        """
        prompts = start.detach().clone().requires_grad_()
        optimizer = torch.optim.AdamW([prompts], lr=self.lr, weight_decay=self.weight_decay)
        for step in range(self.steps):
            if step or first is None:
                with torch.enable_grad():
                    loss = entropy(log_mean(scores(prompts))).sum()
                (first,) = torch.autograd.grad(loss, [prompts])
            prompts.grad = first
            optimizer.step()
        return prompts.detach()


class TunedTexts(Adapted):
    """Prompts among the words of the classes' texts are tuned, of several inputs at once.

    Where every input starts from the same prompts, their texts' features there are computed once; and where inputs
    are many, their derivative is, too, which gives each input's first gradient without the texts. Where prompts read
    the input (CoCoOp), those that the plain view gives are tuned, and what makes them stays.
    """

    def __init__(self, model: PromptedModel, tpt: TPT) -> None:
        super().__init__(model, tpt.views)
        assert isinstance(model.head, ClassText)
        self.head, self.tpt, self.answered = model.head, tpt, 0
        self.derivative: Tensor | None = None

    def forward(self, inputs: Inputs) -> Tensor:
        features, head = self.of_each(self.model.features, inputs), self.head
        with torch.no_grad():
            own = head.of_inputs(features[:, 0])
            scores = head(features, own)
        if not self.tpt.steps:
            return scores[:, 0]
        prompts = head.text.insertion.prompts
        assert prompts is not None
        start = prompts.expand(len(features), -1, -1) if own is None else own
        kept = of_views(features, confident(scores, self.tpt.rho))
        earned = own is None and self.answered >= EARNED * features.shape[-1]
        if earned and self.derivative is None and fits(head):
            self.derivative = derivative(head)
        self.answered += len(features)
        together = max(1, TEXTS // head.num_classes)
        parts = (part.split(together) for part in (start, kept, features[:, :1]))
        return torch.cat([self.answers(*part) for part in zip(*parts)])

    def answers(self, start: Tensor, kept: Tensor, plain: Tensor) -> Tensor:
        """(R, C) scores, of prompts (R, P, D), features of the views that are kept, and those of the plain ones."""
        first = None if self.derivative is None else first_gradient(self.head, kept, self.derivative)
        tuned = self.tpt.tuned(start, partial(self.head, kept), first)
        with torch.no_grad():
            return self.head(plain, tuned)[:, 0]


class TunedImages(Adapted):
    """Prompts of the images' tower are tuned, of one input after the other."""

    def __init__(self, model: PromptedModel, tpt: TPT) -> None:
        super().__init__(model, tpt.views)
        self.tpt = tpt
        self.name = next(name for name, parameter in model.named_parameters() if parameter is model.prompts)

    def forward(self, inputs: Inputs) -> Tensor:
        kept = confident(self.of_each(self.model, inputs), self.tpt.rho)
        return torch.cat([self.answer(inputs, i * self.views, index) for i, index in enumerate(kept)])

    def answer(self, inputs: Inputs, first: int, kept: Tensor) -> Tensor:
        """(1, C) scores of the input whose views begin at ``first``, of which some are kept."""

        def scores(inputs: Inputs, prompts: Tensor) -> Tensor:
            # as a view: autocast keeps its copy of a leaf, which a step changes
            return functional_call(self.model, {self.name: prompts.view_as(prompts)}, (inputs,)).float()

        assert self.model.prompts is not None
        tuned = self.tpt.tuned(self.model.prompts, partial(scores, take(inputs, kept + first)))
        with torch.no_grad():
            return scores(take(inputs, slice(first, first + 1)), tuned)


def with_words(model: PromptedModel, head: ClassText) -> PromptedModel:
    """The same model, the words before the names being its prompts.

    Raises:
        UserError: There are none, or several templates.
    """
    before, _, after = head.patterns[0].partition("{}")
    if len(head.patterns) > 1 or not before.strip() or not before.endswith(" "):
        raise UserError(
            f"tpt tunes the words before a name, and the template {'|'.join(head.patterns)!r:.60} has not one such "
            f"text: take an adapter with one like 'a photo of a {{}}.'."
        )
    tower, number = head.tower, len(head.tower.words.encode(before))
    insertion = AmongWords(number, tower.width)
    insertion.start_from(FromWords(before).prepare(tower, (), 1, number, seed=0))
    text = Tower(tower, insertion.to(head.scale.device), head.text.readout, head.text.prepare)
    made = PromptedModel(
        model.tower,
        ClassText(text, head.names, [f"{{soft:{number}}} {{}}{after}"], head.scale),
        method=model.method,
        protocol=model.protocol,
        backbone_hash=model.backbone_hash,
        class_names=model.class_names,
    ).eval()
    made.calibration = model.calibration
    return made


RECORD = Record(
    name="tpt",
    paper="tpt2022",
    idea="On one unlabelled image, a step towards views that agree; then the prompts are as before.",
    entry="TPT",
)
