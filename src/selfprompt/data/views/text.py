"""Texts: filled into a template, and padded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from selfprompt.data.templates import TEXTS, Filled, Reader, Template
from selfprompt.data.views.base import View
from selfprompt.errors import UserError
from selfprompt.inputs import Inputs, Text

logger = logging.getLogger("selfprompt")

NEUTRAL = "N/A"
"""A text that says nothing (Zhao et al., "Calibrate Before Use", ICML 2021, arXiv 2102.09690)."""


@dataclass(frozen=True)
class TextView(View):
    """Texts as a protocol of texts has them.

    Args:
        template: What they are filled into.
        reader: What reads them.
        limit: Most tokens of one.
        told: How many were cut, once that has been said.
    """

    template: Template
    reader: Reader
    limit: int
    told: list[int] = field(default_factory=list, compare=False)
    augments = False  # type: ignore[assignment]

    def accept(self, source: Any) -> tuple[str, ...]:
        """A string, several, as of a pair, or a mapping with ``text``, ``text2`` and so on."""
        if isinstance(source, Mapping):
            source = tuple(source[name] for name in TEXTS if name in source)
        texts = (source,) if isinstance(source, str) else source
        if not isinstance(texts, (tuple, list)) or not all(isinstance(text, str) for text in texts):
            raise UserError(f"a {type(source).__name__} is no text: give a string.")
        if not 0 < len(texts) <= len(TEXTS):
            raise UserError(f"{len(texts)} texts are given: give a string, a pair of strings, or up to {len(TEXTS)}.")
        return tuple(texts)

    def read(self, source: Any, rng: np.random.Generator | None = None) -> Filled:
        if not any(text.strip() for text in source):
            raise UserError("it is empty: leave it out.")
        try:
            "".join(source).encode()
        except UnicodeEncodeError:
            raise UserError("it holds half a character, which no tokenizer takes: decode its file anew.") from None
        return self.template.fill(source, self.reader, self.limit)

    def collate(self, read: Iterable[Filled], count: int) -> Text:
        filled = list(read)
        if (short := sum(one.cut for one in filled)) and not self.told:
            self.told.append(short)
            logger.warning("%d of %d texts are longer than %d tokens: their ends are cut.", short, count, self.limit)
        ids = torch.full((count, max(len(one.ids) for one in filled)), self.reader.vocabulary.pad)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for row, one in enumerate(filled):
            ids[row, : len(one.ids)], mask[row, : len(one.ids)] = torch.tensor(one.ids), True
        return Text(ids, mask, torch.tensor([one.at for one in filled]))

    def prepare(self, inputs: Inputs) -> Inputs:
        return inputs

    def size(self, count: int) -> int:
        return 9 * self.limit * count

    def neutral(self) -> Text:
        """One text that says nothing, in the template."""
        return self.collate([self.read((NEUTRAL,) * self.template.texts)], 1)
