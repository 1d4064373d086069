"""How a text becomes what a model reads: words of a template, soft tokens, a mask for the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfprompt.backbones.clip import SLOT
from selfprompt.backbones.vocabulary import Vocabulary
from selfprompt.errors import UserError

TEXTS = ("text", *(f"text{i}" for i in range(2, 18)))


@dataclass(frozen=True)
class Reader:
    """What reads filled templates.

    Args:
        vocabulary: Its tokenizer.
        kind: Of model, which says where an answer stands.
        longest: Tokens that it takes.
    """

    vocabulary: Vocabulary
    kind: Literal["encoder", "encoder-decoder", "decoder"]
    longest: int


@dataclass(frozen=True)
class Filled:
    """A filled template.

    Args:
        ids: Of its tokens, below 0 where prompts stand.
        at: Where it is read: at the mask, a decoder at the last token; an encoder-decoder in its decoder.
        cut: Whether ends of texts are lacking.
    """

    ids: list[int]
    at: int
    cut: bool = False


NUMBERS = {1: "one text", 2: "a pair"}


class Template:
    """A pattern such as ``"{soft:16} {mask} : {text}"``.

    ``{text}`` and ``{text2}``, up to ``{text17}``, are the texts; without the latter all texts stand at the former,
    with what the tokenizer has between two (``[SEP]``). ``{soft:N}`` are N prompts, ``{mask}`` is where the answer
    stands: the mask of a masked language model, T5's first sentinel, or what follows a decoder's last token.
    All else are words, and names of special tokens, such as ``[SEP]``, stand for these (in the texts themselves they
    do not). Texts that are too long lose their ends, the longest one first; words of the template, masks and prompts
    are never cut.

    Args:
        pattern: As written.

    Raises:
        UserError: It has no text, more than one mask, or a slot that is none of these.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.pieces = [piece for piece in re.split(r"(\{[^{}]*\})", pattern) if piece]
        slots = [piece[1:-1] for piece in self.pieces if piece.startswith("{")]
        for slot in slots:
            if slot not in (*TEXTS, "mask") and not re.fullmatch(r"soft:\d+", slot):
                raise UserError(
                    f"The template {pattern!r} has {{{slot}}}, and the slots are {{text}}, {{text2}} and so on, "
                    f"{{mask}} and {{soft:N}}: write one of these."
                )
        self.texts = sum(text in slots for text in TEXTS)
        for slot in (*TEXTS, "mask"):
            wanted = slot in TEXTS[: max(1, self.texts)]
            if not wanted <= slots.count(slot) <= (slot == "mask" or wanted):
                raise UserError(f"The template {pattern!r} has {slots.count(slot)} times {{{slot}}}: write it once.")
        self.soft = sum(int(slot.partition(":")[2]) for slot in slots if slot.startswith("soft"))
        self.masked = "mask" in slots

    def fill(self, texts: Sequence[str], reader: Reader, limit: int) -> Filled:
        """The tokens of a text, or of a pair.

        Args:
            texts: As many as the template has, or any number where it has one.
            reader: What reads them.
            limit: Most tokens.

        Raises:
            UserError: There are fewer, one has no tokens, the template leaves no room for them, or the reader has no
                mask, or none there.
        """
        if self.texts not in (1, len(texts)):
            own, wanted = (NUMBERS.get(count, f"{count} texts") for count in (len(texts), self.texts))
            raise UserError(f"it is {own}, and the template {self.pattern!r} takes {wanted}: give as many.")
        words, soft, spaced, mask = reader.vocabulary, 0, False, None
        parts: list[list[int]] = [list(words.start)]
        places: dict[str, int] = {}
        for piece in self.pieces:
            slot = piece[1:-1] if piece.startswith("{") else None
            begun = any(parts[1:])
            if slot is None:
                ids = words.encode(piece, follows=begun and (spaced or piece[0].isspace()), literal=True)
                spaced = piece[-1].isspace()
            elif slot in TEXTS:
                places[slot] = len(parts)
                ids = self._text(texts[TEXTS.index(slot)], words, begun and spaced)
                for further, text in zip(TEXTS[1:], texts[1:] if self.texts == 1 else ()):
                    parts += [ids, list(words.between)]
                    places[further] = len(parts)
                    ids = self._text(text, words, not words.between)
                spaced = False
            elif slot == "mask":
                mask, spaced = len(parts), False
                ids = self._mask(piece, reader)
            else:
                count = int(slot.partition(":")[2])
                ids, spaced = [SLOT - j for j in range(soft, soft + count)], False
                soft += count
            parts.append(ids)
        parts.append([] if reader.kind == "decoder" else list(words.end))
        fixed = sum(len(part) for i, part in enumerate(parts) if i not in places.values())
        if fixed >= limit:
            raise UserError(
                f"The template {self.pattern!r} is {fixed} tokens without a text, and {limit} are taken: use fewer "
                f"prompts, or a greater max_length."
            )
        before, over = [i for i in places.values() if parts[i]], sum(map(len, parts)) > limit
        cut(parts, list(places.values()), limit - fixed)
        if not all(parts[i] for i in before):
            raise UserError(f"nothing is left of it in {limit} tokens: use fewer prompts, or a greater max_length.")
        ids = [i for part in parts for i in part]
        if reader.kind == "decoder":
            return Filled(ids, len(ids) - 1, over)
        if reader.kind == "encoder-decoder":  # after the sentinel, or at its start
            return Filled(ids, int(mask is not None and words.sentinel is not None), over)
        return Filled(ids, 0 if mask is None else sum(map(len, parts[:mask])), over)

    def _text(self, text: str, words: Vocabulary, follows: bool) -> list[int]:
        """The tokens of a text."""
        if not (ids := words.encode(text, follows=follows)) and text.strip():
            raise UserError(f"{text[:40]!r} has no token of this vocabulary: leave it out.")
        return ids

    def _mask(self, piece: str, reader: Reader) -> list[int]:
        """What stands where the answer stands."""
        if reader.kind == "decoder":
            if "".join(self.pieces).partition(piece)[2].strip():
                raise UserError(
                    f"The template {self.pattern!r} goes on after {{mask}}, which a decoder answers last."
                )
            return []
        if reader.vocabulary.mask is None:
            if reader.kind == "encoder":
                raise UserError("The tokenizer has no mask token: use a masked language model's, or a linear head.")
            return []
        return [reader.vocabulary.mask]


def cut(parts: list[list[int]], places: list[int], room: int) -> None:
    """Take the ends of some parts away until they have room, of the longest first."""
    while (over := sum(len(parts[i]) for i in places) - room) > 0:
        longest = max(places, key=lambda i: len(parts[i]))
        next_ = max((len(parts[i]) for i in places if i != longest), default=0)
        parts[longest] = parts[longest][: -min(over, max(1, len(parts[longest]) - next_))]
