"""The texts of a pretraining run, their vocabulary, and the windows of each step."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from selfprompt.errors import UserError
from selfprompt.files import read_text
from selfprompt.pretraining.config import TextConfig

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, START, END, MASK = range(len(SPECIAL))
SHORTEST = 4
"""Tokens, with those of start and end, below which a text's beginning is not worth its place."""
LETTERS = 100
"""Those that are more frequent than others are known."""
KEPT = 0.1
"""Of the hidden tokens, which are left as they are: a text without a mask is no stranger."""

Document = list[str]


def load_documents(data: str | Path) -> list[Document]:
    """The documents of a file, or of all ``*.txt`` of a folder: a line is a text, an empty line ends a document.

    Raises:
        UserError: There is no such file, it is not UTF-8, or there are fewer than two documents.
    """
    path = Path(data).expanduser()
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if missing := next((file for file in files if not file.is_file()), None):
        raise UserError(f"There is no {missing}: give a file of texts, one a line, or a folder of such (*.txt).")
    found: list[Document] = []
    for file in files:
        lines = map(str.strip, read_text(file, "save it as UTF-8").split("\n"))
        found += [list(group) for real, group in itertools.groupby(lines, bool) if real]
    if len(found) < 2:
        raise UserError(f"{data} has {len(found)} documents: give two or more, with an empty line between them.")
    return found


def make_tokenizer(documents: Sequence[Document], size: int) -> Any:
    """A vocabulary of parts of words (WordPiece) without case, of the tokenizers library.

    A text's ids stand between `START` and `END`. The same texts give the same vocabulary: the library numbers letters
    that go on a word at random, unless they are given.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    def made(model: Any) -> Any:
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer

    texts = [text for document in documents for text in document]
    trained = made(models.WordPiece(unk_token=SPECIAL[UNKNOWN]))
    counts = Counter(trained.normalizer.normalize_str("\n".join(texts)))
    letters = sorted(sorted(c for c in counts if not c.isspace()), key=lambda c: -counts[c])[:LETTERS]
    first = [*SPECIAL, *(f"##{c}" for c in letters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=first,  # type: ignore[arg-type]
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer)
    tokenizer = made(models.WordPiece(trained.get_vocab(), unk_token=SPECIAL[UNKNOWN]))
    tokenizer.add_special_tokens([*SPECIAL])
    ends = [(SPECIAL[i], i) for i in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    return tokenizer


@dataclass(frozen=True)
class Windows:
    """A batch, each (B, L): ids with `MASK` in them, which text of the window each belongs to, what was hidden.

    Args:
        ids: Of the tokens.
        texts: 1, 2, ..., and 0 for padding.
        hidden: The ids that stood where they are to be told; -100 elsewhere.
    """

    ids: Tensor
    texts: Tensor
    hidden: Tensor

    def to(self, device: torch.device) -> Windows:
        """The same elsewhere."""
        return Windows(self.ids.to(device), self.texts.to(device), self.hidden.to(device))


class Texts:
    """Documents as ids.

    Args:
        documents: Their texts.
        tokenizer: Of the tokenizers library.
    """

    def __init__(self, documents: Sequence[Document], tokenizer: Any) -> None:
        texts = [text for document in documents for text in document]
        coded = []
        for first in range(0, len(texts), 1000):
            part = tokenizer.encode_batch_fast(texts[first : first + 1000], add_special_tokens=False)
            coded += [np.array(one.ids, dtype=np.int32) for one in part]
        self.ids = np.concatenate(coded)
        self.bounds = np.concatenate([[0], np.cumsum([len(one) for one in coded])])
        last = np.cumsum([len(document) for document in documents])
        self.last = np.repeat(last, [len(document) for document in documents])  # texts before a text's document ends
        known = tokenizer.get_vocab()
        self.continues = np.zeros(max(known.values()) + 1, dtype=bool)
        self.continues[[i for word, i in known.items() if word.startswith("##")]] = True

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def drawn(self, longest: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Without end: the ids of a text, or of the rest of its document, at most so many; any part of long ones."""
        while True:
            i = int(rng.integers(len(self)))
            end = self.bounds[i + 1 if rng.random() < 0.5 else self.last[i]]
            ids = self.ids[self.bounds[i] : end]
            if len(ids) > longest and rng.random() < 0.5:
                first = int(rng.integers(len(ids) - longest + 1))
                ids = ids[first : first + longest]
            if len(ids):
                yield ids[:longest]

    def vectors(self, width: int, seed: int) -> tuple[Tensor, Tensor]:
        """A vector of each token, of what stands within five tokens of it, and how often each comes.

        Positive pointwise mutual information, contexts smoothed by 0.75; its left singular vectors times the roots of
        their values (Levy, Goldberg and Dagan, "Improving Distributional Similarity", TACL 2015).

        Shape: of V tokens (V, D), D being ``width`` or less, and (V).
        """
        size = len(self.continues)
        text = np.repeat(np.arange(len(self)), np.diff(self.bounds))
        near = csr_array((size, size))
        for far in range(1, 6):
            left, right = (self.ids[:-far], self.ids[far:])
            same = text[:-far] == text[far:]
            near += csr_array((np.ones(same.sum()), (left[same], right[same])), shape=(size, size))
        near = (near + near.T).tocoo()
        counts = near.sum(axis=0)
        smooth = counts**0.75 / (counts**0.75).sum()
        told = np.log(near.data / counts[near.row] / smooth[near.col]).clip(min=0)
        found = coo_array((told, (near.row, near.col)), shape=near.shape).tocsr()
        left, values, _ = randomized_svd(found, min(width, size), n_iter=3, random_state=seed)  # type: ignore[arg-type]
        frequencies = np.bincount(self.ids, minlength=size)
        return torch.from_numpy(left * values**0.5).float(), torch.from_numpy(frequencies).float()

    def windows(self, config: TextConfig, generator: torch.Generator) -> Windows:
        """Texts at random, as many as there is room for in each window, with tokens hidden."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        shape = config.batch_size, config.window
        ids, texts, hide = np.full(shape, PAD), np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        found = self.drawn(config.window - 2, rng)
        for row in range(config.batch_size):
            at = count = 0
            while (room := config.window - at) >= SHORTEST:
                one, count = next(found)[: room - 2], count + 1
                inner = slice(at + 1, at + 1 + len(one))
                ids[row, at], ids[row, inner], ids[row, inner.stop] = START, one, END
                texts[row, at : inner.stop + 1] = count
                if rng.random() < config.ends:
                    hide[row, inner][self.end(one, first=rng.random() < 0.5)] = True
                at = inner.stop + 1
        ratio = config.mask_ratio * rng.uniform(0.5, 1.5, (config.batch_size, 1))
        hide |= (rng.random(shape) < ratio) & (ids > MASK)
        hide[0, 1] |= not hide.any()
        seen = np.where(hide & (rng.random(shape) >= KEPT), MASK, ids)
        hidden = np.where(hide, ids, -100)
        return Windows(torch.from_numpy(seen), torch.from_numpy(texts), torch.from_numpy(hidden))

    def end(self, ids: np.ndarray, first: bool) -> slice:
        """Where the first word, or the last, stands."""
        begins = np.flatnonzero(~self.continues[ids[1:]]) + 1 if first else np.flatnonzero(~self.continues[ids])
        if first:
            return slice(0, int(begins[0]) if len(begins) else len(ids))
        return slice(int(begins[-1]) if len(begins) else 0, len(ids))
