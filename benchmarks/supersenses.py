"""A masked language model on definitions that it was not trained on: what kind of thing does each define?

    apt-get install wordnet-base
    python benchmarks/supersenses.py builtin-text text:FOLDER

The definitions are those that `builtin_text_corpus.held_out` keeps from training, at most 120 of each of WordNet's
lexicographer files, half of them to test. Accuracy in percent: by label words in two templates, without a trained
number (and after each class's mean score was taken off), and of logistic regression on the mean of the text's words
(a fifth of the other half chooses its strength).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import selfprompt as sp
from builtin_text_corpus import held_out, senses
from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.text import TextBackbone
from selfprompt.data.batches import Decoded
from selfprompt.data.examples import Examples
from selfprompt.data.protocol import TextProtocol
from selfprompt.data.templates import Reader, Template
from selfprompt.data.views.text import TextView
from selfprompt.heads.label_words import LabelWords
from selfprompt.runs.probe import probe_accuracy

TASKS = {
    "living (3)": {5: "animal", 20: "plant", 18: "person"},
    "things (8)": {
        5: "animal",
        20: "plant",
        18: "person",
        13: "food",
        8: "body",
        27: "substance",
        15: "place",
        12: "feeling",
    },
    "doings (8)": {
        38: "move",
        32: "speak",
        31: "think",
        35: "touch",
        34: "eat",
        37: "feel",
        40: "give",
        39: "see",
    },
}
"""Lexicographer files, each with its label word."""
TEMPLATES = ("{mask} : {text}", "{text} : {mask}")
MOST = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    given = parser.parse_args()
    defined = {(sense.file, sense.definition) for sense in senses(given.wordnet) if held_out(sense.definition)}
    columns = ["backbone", "task", "test", "chance", *(f"{t} | less the mean" for t in TEMPLATES), "probe"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * (5 + 2 * len(TEMPLATES)) + "|")
    for name in given.backbones:
        backbone = load_backbone(name)
        assert isinstance(backbone, TextBackbone)
        for task, words in TASKS.items():
            train, val, test = parts(sorted(defined), [*words])
            row = [name, task, len(test), f"{100 / len(words):.0f}"]
            if backbone.vocabulary.mask is not None and backbone.model.get_output_embeddings() is not None:
                for template in TEMPLATES:
                    row += [f"{100 * share:.1f}" for share in by_words(backbone, template, [*words.values()], test)]
            else:
                row += ["-"] * 2 * len(TEMPLATES)
            print("| " + " | ".join(map(str, [*row, f"{probe(backbone, train, val, test):.1f}"])) + " |", flush=True)


def parts(defined: list[tuple[int, str]], files: list[int]) -> tuple[Examples, Examples, Examples]:
    """Training, validation and test definitions, drawn by a fixed seed."""
    rng = np.random.default_rng(0)
    found: list[list[tuple[tuple[str], int]]] = [[], [], []]
    for label, file in enumerate(files):
        own = [text for of, text in defined if of == file]
        for i, at in enumerate(rng.permutation(len(own))[:MOST]):
            found[2 if i % 2 else 1 if i % 10 == 0 else 0].append(((own[at],), label))
    train, val, test = (Examples([t for t, _ in part], np.array([i for _, i in part])) for part in found)
    return train, val, test


@torch.no_grad()
def by_words(backbone: TextBackbone, pattern: str, words: list[str], test: Examples) -> tuple[float, float]:
    """The share of right answers by label words, and that after each class's mean score over the texts is off."""
    template, vocabulary = Template(pattern), backbone.vocabulary
    view = TextView(template, Reader(vocabulary, backbone.kind, backbone.num_patches), backbone.num_patches)
    head = LabelWords(words, {word: (word,) for word in words}, vocabulary)
    scores = []
    for first in range(0, len(test), 64):
        read = [view.read(text) for text in test.images[first : first + 64]]
        given = backbone.as_input(view.collate(read, len(read)), None)
        scores.append(head(backbone.readout(backbone.run(given, UNEDITED), "words")))
    logits, labels = torch.cat(scores).log_softmax(dim=1), torch.from_numpy(test.known_labels)
    return tuple(float((each.argmax(1) == labels).float().mean()) for each in (logits, logits - logits.mean(0)))


def probe(backbone: TextBackbone, *splits: Examples) -> float:
    """Accuracy of a linear probe."""
    model = sp.create_model(backbone, "linear", num_classes=len(set(splits[0].known_labels)))
    protocol = TextProtocol().read_by(backbone, None)
    return probe_accuracy(model, *(Decoded(split, protocol) for split in splits))


if __name__ == "__main__":
    main()
