"""A vocabulary made from captions, in the form that open_clip's tokenizer reads."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

from selfprompt.backbones.open_clip import MERGES


class Tokens:
    """Texts to ids, with those of start and end.

    Args:
        merges: The file's contents.
        folder: Where the file may be written for open_clip to read.
        context: Ids at most.
    """

    def __init__(self, merges: bytes, folder: str, context: int) -> None:
        import open_clip

        path = Path(folder) / MERGES
        path.write_bytes(merges)
        self.own = open_clip.SimpleTokenizer(bpe_path=str(path), context_length=context)
        self.size, self.context = self.own.vocab_size, context
        self._known: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """The ids; those beyond the context are left out."""
        if text not in self._known:
            self._known[text] = self._encode(text)
        return self._known[text]

    def _encode(self, text: str) -> list[int]:
        ids = self.own.encode(self.own.clean_fn(text))[: self.context - 2]
        return [self.own.sot_token_id, *ids, self.own.eot_token_id]


def vocabulary(captions: list[str], merges: int) -> bytes:
    """A file of byte-pair merges (Sennrich et al., arXiv 1508.07909) of captions, as open_clip's tokenizer reads it.

    It ends without a newline: the tokenizer would take that for one more token.
    """
    import open_clip
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    plain = open_clip.SimpleTokenizer()
    counts = Counter(word for text in captions for word in plain.pat.findall(plain.clean_fn(text)))
    coded = ("".join(plain.byte_encoder[b] for b in word.encode()) for word in sorted(counts.elements()))
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    size = merges + 2 * len(plain.byte_encoder)
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(coded, trainer)
    found = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"][:merges]]
    return gzip.compress("\n".join(["#version: selfprompt", *found]).encode(), mtime=0)
