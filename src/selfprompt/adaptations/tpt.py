"""Test-time prompt tuning."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call

from selfprompt.adaptations.base import Adaptation, of_each, of_views
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

    def ready(self, model: PromptedModel) -> PromptedModel:
        head = model.head
        if isinstance(head, ClassText) and head.per_class:
            raise UserError(
                "Each class has prompts of its own here, and tpt tunes what classes share: train generic ones."
            )
        if model.prompts is not None:
            return model
        if not isinstance(head, ClassText):
            raise UserError("tpt tunes prompts, and this adapter has none: take one with prompts, or averaging.")
        return with_words(model, head)

    def __call__(self, model: PromptedModel, inputs: Inputs) -> Tensor:
        if isinstance(model.head, ClassText) and isinstance(model.head.text.insertion, AmongWords):
            return self._texts(model, model.head, model.head.text.insertion, inputs)
        return self._images(model, inputs)

    def _texts(self, model: PromptedModel, head: ClassText, insertion: AmongWords, inputs: Inputs) -> Tensor:
        features = of_each(model.features, inputs, self.views)
        scores = head(features)
        if not self.steps:
            return scores[:, 0]
        kept = of_views(features, confident(scores, self.rho))
        together = max(1, TEXTS // head.num_classes)
        found = []
        for some, plain in zip(kept.split(together), features[:, :1].split(together)):
            start = insertion.prompts.expand(len(some), -1, -1)
            prompts = self.tuned(start, lambda prompts, some=some: head(some, prompts))
            found.append(head(plain, prompts)[:, 0])
        return torch.cat(found)

    def _images(self, model: PromptedModel, inputs: Inputs) -> Tensor:
        start = model.prompts
        assert start is not None
        name = next(name for name, parameter in model.named_parameters() if parameter is start)
        found = []
        for i, kept in enumerate(confident(of_each(model, inputs, self.views), self.rho)):

            def scores(prompts: Tensor, index: Tensor) -> Tensor:
                # as a view: autocast keeps its copy of a leaf, which a step changes
                return functional_call(model, {name: prompts.view_as(prompts)}, (take(inputs, index),)).float()

            first = i * self.views
            prompts = self.tuned(start, lambda prompts, kept=kept + first: scores(prompts, kept))
            found.append(scores(prompts, kept.new_tensor([first])))
        return torch.cat(found)

    def tuned(self, start: Tensor, scores: Callable[[Tensor], Tensor]) -> Tensor:
        """The prompts after the steps.

        Args:
            start: Where they start, of each input or of one.
            scores: Of the views that are kept, (..., k, C), with such prompts.
        """
        prompts = start.detach().clone().requires_grad_()
        optimizer = torch.optim.AdamW([prompts], lr=self.lr, weight_decay=self.weight_decay)
        for _ in range(self.steps):
            with torch.enable_grad():
                loss = entropy(log_mean(scores(prompts))).sum()
            (prompts.grad,) = torch.autograd.grad(loss, [prompts])
            optimizer.step()
        return prompts.detach()


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
    return PromptedModel(
        model.tower,
        ClassText(text, head.names, [f"{{soft:{number}}} {{}}{after}"], head.scale),
        method=model.method,
        protocol=model.protocol,
        backbone_hash=model.backbone_hash,
        class_names=model.class_names,
    ).eval()


RECORD = Record(
    name="tpt",
    paper="tpt2022",
    idea="On one unlabelled image, a step towards views that agree; then the prompts are as before.",
    entry="TPT",
)
