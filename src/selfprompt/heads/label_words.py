"""Classes as words of a language model: the verbalizer (Schick and Schütze, arXiv 2001.07676)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from selfprompt.backbones.vocabulary import Vocabulary
from selfprompt.errors import UserError
from selfprompt.heads.base import Head


class LabelWords(Head):
    """A class's score is the mean score of its words where the answer stands, a word's that of its tokens.

    Nothing of it is trained. The softmax over classes is then one over label words alone, as in LM-BFF (Gao et al.,
    arXiv 2012.15723), where PPT and Lester et al. take the likeliest of all words.

    Args:
        names: Of the classes.
        words: The words of each class.
        vocabulary: Of the language model.
        calibrated: Subtract the logarithm of what a text that says nothing is answered with at the prompts' start
            (Zhao et al., "Calibrate Before Use", arXiv 2102.09690, with the one text "N/A").

    Attributes:
        offset: (C,) that logarithm.

    Raises:
        UserError: A class has no words, a word is no token, or two classes have the same.

    Shape: (B, V) scores of all words to (B, C).
    """

    def __init__(
        self,
        names: Sequence[str],
        words: Mapping[str, Sequence[str]],
        vocabulary: Vocabulary,
        calibrated: bool = False,
    ) -> None:
        super().__init__()
        if set(names) != set(words):
            odd = sorted(set(names) ^ set(words))[0]
            raise UserError(
                f"The label words and the classes differ in {odd!r}: give words for each class by its name."
            )
        self.num_classes, self.words, self.vocabulary, self.calibrated = (
            len(names),
            dict(words),
            vocabulary,
            calibrated,
        )
        shares: list[dict[int, float]] = []
        for name in names:
            if not words[name]:
                raise UserError(f"The class {name!r} has no label words: give one or more.")
            share: dict[int, float] = {}
            for ids in map(vocabulary.of_word, words[name]):
                for i in ids:
                    share[i] = share.get(i, 0.0) + 1 / len(ids) / len(words[name])
            if share in shares:
                first = names[shares.index(share)]
                raise UserError(f"The classes {first!r} and {name!r} have the same label words: choose others.")
            shares.append(share)
        used = sorted({i for share in shares for i in share})
        self.register_buffer("used", torch.tensor(used), persistent=False)
        self.register_buffer(
            "shares", torch.tensor([[share.get(i, 0.0) for i in used] for share in shares]), persistent=False
        )
        self.register_buffer("offset", torch.zeros(len(names)), persistent=calibrated)
        self.used: Tensor
        self.shares: Tensor
        self.offset: Tensor

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Scores of words to scores of classes."""
        return features[:, self.used].float() @ self.shares.T - self.offset

    def linear(self, words: int) -> tuple[Tensor, Tensor]:
        """Weight (C, V) and bias (C,) of the same head for the scores of all V ``words``."""
        weight = self.shares.new_zeros(self.num_classes, words)
        weight[:, self.used] = self.shares
        return weight, -self.offset

    @torch.no_grad()
    def calibrate(self, features: Float[Tensor, "batch features"]) -> None:
        """Set the offset by the scores of texts that say nothing."""
        self.offset.zero_()
        self.offset.copy_(self(features).log_softmax(dim=-1).mean(dim=0))

    def for_classes(self, names: Sequence[str]) -> LabelWords:
        """The same for other classes, whose names are their words.

        Raises:
            UserError: The classes that it was trained on have words besides their names, or it is calibrated.
        """
        if self.calibrated or any(list(words) != [name] for name, words in self.words.items()):
            raise UserError("These classes have label words of their own: make a model with words for the new ones.")
        return LabelWords(names, {name: (name,) for name in names}, self.vocabulary)
