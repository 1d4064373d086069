"""Classes as texts: features beside those of the classes' names (CLIP, arXiv 2103.00020)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from selfprompt.backbones.base import Backbone, BlockEdit, Context, Edits, Tokens
from selfprompt.backbones.clip import SLOT, ClipText
from selfprompt.errors import UserError
from selfprompt.heads.base import Head
from selfprompt.inputs import Text
from selfprompt.prompts.insertion.words import AmongWords, Handed
from selfprompt.tower import Tower

HELD = 512
"""Texts whose activations are held for the backward pass; with more, each chunk is computed once more there."""
CHUNK = 256
"""Texts that run through the tower at a time."""
Keys = list[tuple[Tensor, Tensor]]


class ClassText(Head):
    """``exp(s) cos(z, w_c)`` of an image's feature z and the feature w_c of class c's text.

    What all texts begin with runs through the tower once; its keys and values are then seen by what differs, texts of
    one length at a time, without padding, and in the last block only the end token asks. All exact, as no token of a
    causal tower sees a later one.

    Args:
        text: The tower of texts; it owns the prompts among the words.
        names: Of the classes.
        patterns: How a name becomes a text: ``{}`` stands for the name and ``{soft:M}`` for M prompts. With several,
            a class is the mean of its texts' unit features.
        scale: The logarithm s of the scale, ().

    Raises:
        UserError: A pattern has no place for the name, or for prompts that there are; a name is blank; a text is
            longer than the tower takes, or two classes have the same text.

    Shape: (B, F) to (B, C).
    """

    def __init__(self, text: Tower, names: Sequence[str], patterns: Sequence[str], scale: Tensor) -> None:
        super().__init__()
        self.text, self.names, self.patterns = text, list(names), tuple(patterns)
        self.num_classes = len(self.names)
        self.register_buffer("scale", scale.detach().clone(), persistent=False)
        self.scale: Tensor
        check_texts(self.patterns, self.names, text.insertion)
        self.rows = [texts(pattern, self.names, self.tower) for pattern in self.patterns]
        self._folded: Tensor | None = None
        self._kept: tuple[list[tuple[int, int]], Tensor] | None = None
        known: dict[tuple[int, ...], str] = {}
        for row, name in zip(self.rows[0], self.names):
            if tuple(row) in known and not self.per_class:
                raise UserError(f"The classes {known[tuple(row)]!r} and {name!r} have the same text: rename one.")
            known[tuple(row)] = name

    @property
    def tower(self) -> ClipText:
        """The transformer of texts."""
        backbone = self.text.backbone
        assert isinstance(backbone, ClipText)
        return backbone

    @property
    def per_class(self) -> bool:
        """Whether each class has prompts of its own."""
        insertion = self.text.insertion
        return isinstance(insertion, AmongWords) and insertion.per_class

    @property
    def knows_names(self) -> bool:
        return not self.per_class

    @property
    def reads_inputs(self) -> bool:
        """Whether each input has prompts of its own."""
        insertion = self.text.insertion
        return isinstance(insertion, AmongWords) and insertion.reads_inputs

    def forward(self, features: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Features to logits; with ``prompts`` (R, P, D) in the place of its own, (R, N, F) to (R, N, C)."""
        with torch.autocast(features.device.type, enabled=False):
            if prompts is not None:
                return self.scores(features, self._weights(prompts))
            own = self.of_inputs(features)
            if own is None or not len(own):
                return self.scores(features, self.weights())
            return self.scores(features[:, None], self._weights(own))[:, 0]

    def scores(self, features: Tensor, weights: Tensor) -> Tensor:
        """Features (..., N, F) beside unit features of classes (..., C, F)."""
        return self.scale.exp() * F.normalize(features.float(), dim=-1) @ weights.mT

    def of_inputs(self, features: Tensor) -> Tensor | None:
        """The prompts (B, P, D) of each input, by its (B, F) features; None where all share the same."""
        insertion = self.text.insertion
        with torch.autocast(features.device.type, enabled=False):
            unit = F.normalize(features.float(), dim=-1)
            return insertion.of_inputs(unit) if isinstance(insertion, AmongWords) else None

    def weights(self) -> Tensor:
        """(C, F) unit features of the classes."""
        if self._folded is not None:
            return self._folded.to(self.scale.device)
        own = list(self.text.parameters())
        if not torch.is_grad_enabled() or any(p.requires_grad for p in own):
            return self._weights()
        state = [(p.data_ptr(), p._version) for p in own]
        if self._kept is None or self._kept[0] != state:  # nothing of them is trained: once for all steps
            with torch.no_grad():
                self._kept = state, self._weights()
        return self._kept[1]

    def _weights(self, prompts: Tensor | None = None) -> Tensor:
        each = [F.normalize(self.encode(rows, prompts).float(), dim=-1) for rows in self.rows]
        return each[0] if len(each) == 1 else F.normalize(torch.stack(each).mean(dim=0), dim=-1)

    @contextmanager
    def folded(self) -> Iterator[None]:
        """Inside, the classes' features are computed once: what they are made of must not change there."""
        before = self._folded
        with torch.no_grad():
            self._folded = self.weights()
        try:
            yield
        finally:
            self._folded = before

    def for_classes(self, names: Sequence[str]) -> ClassText:
        if self.per_class:
            raise UserError(
                "Each class has prompts of its own here, which say nothing of others: train generic ones."
            )
        return ClassText(self.text, names, self.patterns, self.scale)

    def encode(self, rows: list[list[int]], prompts: Tensor | None = None) -> Tensor:
        """Features of texts.

        Args:
            rows: The ids of each class's text.
            prompts: In place of the tower's own, (R, P, D): every text is read with each of R contexts.

        Returns:
            (C, F), or (R, C, F) under ``prompts``.
        """
        if prompts is None and not self.text.insertion.by_token:
            return self.text(padded(rows, self.scale.device))
        insertion = self.text.insertion if prompts is None else Handed(prompts)
        contexts = 1 if prompts is None else len(prompts)
        first = common(rows, self.per_class and prompts is None)
        keys = self._begin(rows[0][:first], insertion, None if prompts is None else contexts) if first else None
        edits = Continued(insertion, keys, first)
        found: list[Tensor] = []
        order: list[int] = []
        many = contexts * len(rows) > HELD and torch.is_grad_enabled()
        rest = partial(checkpoint, self._rest, use_reentrant=False) if many else self._rest
        chunk = max(1, CHUNK // contexts)
        for length in sorted({len(row) for row in rows}):
            those = [i for i, row in enumerate(rows) if len(row) == length]
            for start in range(0, len(those), chunk):
                part = those[start : start + chunk]
                ids = torch.tensor([rows[i][first:] for i in part], device=self.scale.device)
                index = torch.tensor(part, device=self.scale.device) if self.per_class else None
                if prompts is not None:  # all of the part's texts with context 0, then all with context 1
                    index = torch.arange(contexts * len(part), device=ids.device) // len(part)
                    ids = ids.repeat(contexts, 1)
                made = rest(ids, index, edits)
                found.append(made if prompts is None else made.unflatten(0, (contexts, len(part))))
                order += part
        place = torch.empty(len(order), dtype=torch.long)
        place[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(found, dim=-2)[..., place.to(self.scale.device), :]

    def _begin(self, ids: list[int], insertion: Edits, contexts: int | None) -> Keys:
        """Keys and values, at each block, of what all texts begin with; of each of ``contexts``, if not None."""
        tower = self.tower
        made: Keys = []
        text = padded([ids] * (contexts or 1), self.scale.device)

        def seen(i: int, before: Tokens, after: Tokens) -> None:
            made.append(tower.keys_values(i, before.x if contexts else before.x[0]))

        rows = None if contexts is None else torch.arange(contexts, device=self.scale.device)
        tower.run(text, insertion, seen, rows=rows)
        return made

    def _rest(self, ids: Tensor, index: Tensor | None, edits: Continued) -> Tensor:
        last = torch.zeros(len(ids), dtype=torch.long, device=ids.device)  # of what the last block is asked for
        text = Text(ids, torch.ones_like(ids, dtype=torch.bool), last)
        tokens = self.tower.run(text, edits, rows=index, read=slice(-1, None))
        return self.tower.readout(tokens)


class Continued(Edits):
    """Texts that go on where others have begun: their words stand later, and see what came before.

    Args:
        insertion: What is inserted, of the kind that treats each token alike.
        keys: Keys and values of the beginning, at each block: of one that all share, or of several, which
            ``context.rows`` chooses from.
        first: Its length.
    """

    def __init__(self, insertion: Edits, keys: Keys | None, first: int) -> None:
        self.insertion, self.keys, self.first = insertion, keys, first

    def words(self, content: Tensor, context: Context) -> Tensor:
        return self.insertion.words(content, context)

    def before(self, backbone: Backbone, i: int, tokens: Tokens, context: Context) -> Tokens:
        if i or not self.first:
            return tokens
        assert isinstance(backbone, ClipText)
        content = self.insertion.words(context.content, context)
        return replace(tokens, x=backbone.placed(content, self.first))

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        edit = self.insertion.edit(backbone, i, context)
        if self.keys is None:
            return edit
        kv = self.keys[i]
        if kv[0].dim() == 4:
            kv = tuple(begun[context.rows] for begun in kv)
        if edit.extra_kv is not None:
            kv = tuple(torch.cat([own, begun.to(own.dtype)], dim=-2) for own, begun in zip(edit.extra_kv, kv))
        return replace(edit, extra_kv=kv)


def check_texts(patterns: Sequence[str], names: Sequence[str], insertion: Edits) -> None:
    """Refuse texts that say nothing of their class, or have slots for other prompts than there are."""
    prompts = insertion.prompts.shape[1] if isinstance(insertion, AmongWords) else 0
    for pattern in patterns:
        if pattern.count("{}") != 1:
            raise UserError(
                f"The template {pattern!r:.60} must have one {{}}, for the class's name: 'a photo of a {{}}.' has."
            )
        slots = sum(map(int, re.findall(r"\{soft:(\d+)\}", pattern)))
        if slots != prompts:
            raise UserError(
                f"The template {pattern!r:.60} has places for {slots} prompts, and there are {prompts}: a method of "
                f"contexts, such as coop, places its own (place)."
            )
    if blank := [name for name in names if not name.strip(" _")]:
        raise UserError(f"The class {blank[0]!r} has no name that a text could say: rename it.")


def texts(pattern: str, names: Sequence[str], tower: ClipText) -> list[list[int]]:
    """The ids of each class's text, from the start to the end token; those of prompts are below 0.

    Raises:
        UserError: A text is longer than the tower takes.
    """
    words, found = tower.words, []
    for name in names:
        ids, soft = [words.start], 0
        for piece in re.split(r"(\{soft:\d+\})", pattern):
            if match := re.fullmatch(r"\{soft:(\d+)\}", piece):
                ids += [SLOT - j for j in range(soft, soft + int(match[1]))]
                soft += int(match[1])
            elif text := piece.replace("{}", name.replace("_", " ")).strip():
                ids += words.encode(text)
        ids.append(words.end)
        if len(ids) > len(tower.positions):
            raise UserError(
                f"The name {name!r:.60} makes a text of {len(ids)} tokens, and {tower.info.name} takes "
                f"{len(tower.positions)}: shorten it, or use fewer prompts."
            )
        found.append(ids)
    return found


def common(rows: list[list[int]], per_class: bool) -> int:
    """How many tokens all texts begin with alike; the last of the shortest is never among them."""
    shortest = min(len(row) for row in rows) - 1
    for i in range(shortest):
        if len({row[i] for row in rows}) > 1 or (per_class and rows[0][i] < 0):
            return i
    return shortest


def padded(rows: list[list[int]], device: torch.device) -> Text:
    """Texts as one batch, each read at its last token."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return Text(ids.to(device), mask.to(device), (lengths - 1).to(device))
