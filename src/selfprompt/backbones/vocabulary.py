"""A tokenizer of transformers, as far as prompts need it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from threading import Lock
from typing import Any

from torch import Tensor

from selfprompt.errors import UserError

SENTINEL = "<extra_id_0>"
"""T5's mask: what its decoder answers for."""
ANCHOR = "a"


class Vocabulary:
    """Texts to ids, without the surprises of words that do not stand at a text's beginning.

    Args:
        tokenizer: Of transformers.

    Attributes:
        start, end: Ids that the model wants before and after a text.
        between: Ids that it wants between two.
        divider: Of the token behind which a second text has a segment of its own; None where it has none.
        mask: Of the token that stands for an answer; None where the vocabulary has none.
        pad: Of padding.
        special: Ids that are no words.
        plain: One that ends nothing and pads nothing, for places that are filled by other means.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self._alone = tokenizer, Lock()
        whole, bare = tokenizer("a b").input_ids, self.encode("a b")
        first = next(i for i in range(len(whole) + 1) if i == len(whole) or whole[i : i + len(bare)] == bare)
        self.start, self.end = whole[:first], whole[first + len(bare) :]
        one = len(self.start) + len(self.encode(ANCHOR))
        both = tokenizer(ANCHOR, ANCHOR)
        pair, kinds = both.input_ids, both.get("token_type_ids") or []
        self.divider: int | None = pair[kinds.index(1) - 1] if 1 in kinds else None
        rest = len(pair) - len(self.end) - len(self.encode(ANCHOR))
        self.between: list[int] = pair[one:rest]
        known = tokenizer.get_vocab()
        self.sentinel: int | None = known.get(SENTINEL)
        self.mask: int | None = tokenizer.mask_token_id if self.sentinel is None else self.sentinel
        self.pad: int = tokenizer.pad_token_id or 0
        self.special: list[int] = list(tokenizer.all_special_ids)
        taken = {tokenizer.eos_token_id, tokenizer.bos_token_id, self.pad}
        self.plain: int = next(i for i in (*self.special, *range(len(taken) + 1)) if i not in taken)

    def __deepcopy__(self, memo: Any) -> Vocabulary:
        return self

    def __len__(self) -> int:
        return len(self.tokenizer)

    def segments(self, ids: Tensor) -> dict[str, Tensor]:
        """The segments of texts by their (B, L) ids, as models that tell them apart take them."""
        if self.divider is None:
            return {}
        divides = (ids == self.divider).long()
        return {"token_type_ids": (divides.cumsum(dim=1) - divides).clamp(max=1)}

    def encode(self, text: str, follows: bool = False, literal: bool = False) -> list[int]:
        """A text's ids, without those of start and end.

        Args:
            text: The text.
            follows: Whether a space and other words stand before it.
            literal: Whether names of special tokens stand for these, as in a template.
        """
        if not text.strip():
            return []
        if follows:
            known, whole = self._ids(ANCHOR, literal), self._ids(f"{ANCHOR} {text.strip()}", literal)
            if whole[: len(known)] == known:
                return whole[len(known) :]
        return self._ids(text.strip(), literal)

    def _ids(self, text: str, literal: bool) -> list[int]:
        with self._alone:  # the tokenizer itself is set to split special tokens or not, for all threads
            return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=not literal).input_ids)

    def of_word(self, word: str) -> list[int]:
        """The ids of a label word, as it stands after others.

        Raises:
            UserError: It is no token, or one that stands for all that is unknown.
        """
        ids = self.encode(word, follows=True)
        if not self._known(ids):
            raise UserError(
                f"The label word {word!r} is no token of this vocabulary: choose another; where it is a keyword of a "
                f"corpus, single:CORPUS#without={word} leaves it out."
            )
        return ids

    def has(self, word: str) -> bool:
        """Whether `of_word` knows a word."""
        return self._known(self.encode(word, follows=True))

    def _known(self, ids: list[int]) -> bool:
        return bool(ids) and self.tokenizer.unk_token_id not in ids

    @cached_property
    def mark(self) -> str:
        """What tells it from others: twelve hexadecimal digits."""
        listed = json.dumps([sorted(self.tokenizer.get_vocab().items()), self.start, self.end, self.mask, self.pad])
        return hashlib.sha256(listed.encode()).hexdigest()[:12]
