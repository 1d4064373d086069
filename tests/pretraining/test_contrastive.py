from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_mae import stop_at

import selfprompt as sp
from selfprompt.backbones.load import load_backbone
from selfprompt.errors import UserError
from selfprompt.heads.class_text import ClassText
from selfprompt.pretraining import clip
from selfprompt.pretraining.clip import pretrain_clip
from selfprompt.pretraining.config import ClipConfig
from selfprompt.pretraining.pairs import draw, load_pairs, truth
from selfprompt.pretraining.towers import Pair, contrastive, encode, start_from
from selfprompt.pretraining.vocabulary import Tokens, vocabulary

pytest.importorskip("open_clip")
pytest.importorskip("tokenizers")

SHAPE = {"image_size": 8, "patch_size": 4, "width": 16, "depth": 1, "heads": 1, "embed": 8}
TEXT = {"text_width": 16, "text_depth": 2, "text_heads": 2, "context": 24, "merges": 20}
TINY = ClipConfig(**SHAPE, **TEXT, batch_size=4, images_seen=4 * 20, captions=2)  # type: ignore[arg-type]
COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


def write_table(root: Path, rows: list[tuple[str, ...]], head: tuple[str, ...] = ("image", "caption")) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return root


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures in three colours, two captions each."""
    root, rows = tmp_path_factory.mktemp("pairs"), []
    for colour, value in COLOURS.items():
        for index in range(3):
            name = f"{colour}{index}.png"
            Image.new("RGB", (12, 12), value).save(root / name)
            rows += [(name, f"a {colour} picture"), (name, f"picture {index}, which is {colour}")]
    return write_table(root, rows)


def loop_loss(logits: torch.Tensor, true: torch.Tensor) -> float:
    both = []
    for scores, goals in ((logits, true), (logits.T, true.T)):
        each = []
        for row, goal in zip(scores, goals):
            hits = [float(row.log_softmax(0)[j]) for j in range(len(row)) if goal[j]]
            each.append(-sum(hits) / len(hits))
        both.append(sum(each) / len(each))
    return sum(both) / 2


def test_every_true_caption_is_a_target_with_equal_weight() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 8, generator=generator)
    true = torch.rand(5, 8, generator=generator) < 0.3
    true[range(5), range(5)] = True
    true[0] |= ~true.any(dim=0)
    assert float(contrastive(logits, true)) == pytest.approx(loop_loss(logits, true), rel=1e-5)
    one, square = torch.eye(5, dtype=torch.bool), logits[:, :5]
    plain = [torch.nn.functional.cross_entropy(scores, torch.arange(5)) for scores in (square, square.T)]
    assert float(contrastive(square, one)) == pytest.approx(float(sum(plain)) / 2, rel=1e-5)


def test_a_caption_is_true_of_what_holds_all_that_it_says(tmp_path: Path, pairs: Path) -> None:
    rows = [
        ("red0.png", "a red ring", "is=ring;colour=red", "size=large"),
        ("blue0.png", "a large ring", "is=ring;size=large", "colour=blue"),
        ("green0.png", "A dot", "", ""),
        ("green1.png", "a dot", "", ""),
    ]
    for name in {row[0] for row in rows}:
        (tmp_path / name).write_bytes((pairs / name).read_bytes())
    found = load_pairs(write_table(tmp_path, rows, ("image", "caption", "says", "facts")), 8)
    says = [captions[0].says for captions in found.captions]
    wanted = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert truth(found.facts, says).int().tolist() == wanted


def test_a_batch_holds_captions_of_its_images(pairs: Path) -> None:
    found = load_pairs(pairs, 12)
    drawn = draw(found, 6, 3, 8, torch.Generator().manual_seed(3))
    assert len(drawn.texts) == 12  # each has two
    for row, image in enumerate(drawn.images):
        colour = list(COLOURS)[int(image.mean(dim=(1, 2)).argmax())]
        assert all(colour in text for text in drawn.texts[2 * row : 2 * row + 2])
        assert {text for text, true in zip(drawn.texts, drawn.true[row]) if true} >= {f"a {colour} picture"}


def test_killed_and_resumed_it_is_the_same_to_the_bit(pairs: Path, tmp_path: Path) -> None:
    generator = torch.random.get_rng_state()
    whole, rest = [], []
    pretrain_clip(pairs, tmp_path / "whole", TINY, lambda step, steps, loss: whole.append(loss))
    with pytest.raises(KeyboardInterrupt):
        pretrain_clip(pairs, tmp_path / "killed", TINY, stop_at(12), checkpoint_seconds=0)
    pretrain_clip(pairs, tmp_path / "killed", TINY, lambda step, steps, loss: rest.append(loss))
    assert rest == whole[11:]
    assert torch.equal(torch.random.get_rng_state(), generator)  # the caller's random numbers are its own
    a, b = (load_backbone(f"open_clip:{tmp_path / name}") for name in ("whole", "killed"))
    assert a.fingerprint() == b.fingerprint()
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "killed"}


@pytest.fixture(scope="module")
def trained(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pair, Tokens]:
    """A pair taught its three colours, and its folder."""
    kept: list[Any] = []
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        own = clip.write

        def write(out: Path, pair: Pair, words: bytes, summary: dict[str, Any]) -> None:
            kept.extend([pair, words])
            own(out, pair, words, summary)

        patch.setattr(clip, "write", write)
        config = TINY.model_copy(update={"images_seen": 8 * 150, "batch_size": 8, "lr": 5e-3})
        pretrain_clip(pairs, folder / "pair", config)
    return folder / "pair", kept[0].eval(), Tokens(kept[1], str(folder), TINY.context)


def test_the_folder_answers_as_the_trained_pair(trained: tuple[Path, Pair, Tokens], pairs: Path) -> None:
    folder, pair, tokens = trained
    names = [f"{colour} picture" for colour in COLOURS]
    model = sp.create_model(f"open_clip:{folder}", method="zeroshot", class_names=names)
    images = torch.stack([torch.tensor(colour).view(3, 1, 1).expand(3, 8, 8) / 255 for colour in COLOURS.values()])
    given, head = (images - 0.5) / 0.25, model.head
    assert isinstance(head, ClassText)
    with torch.no_grad():
        logits = model(given)
        texts = [tokens(pattern.replace("{}", name)) for name in names for pattern in head.patterns]
        seen, read = pair.model.visual(given), encode(pair.model, texts)
        unit = torch.nn.functional.normalize
        own = pair.model.logit_scale.exp() * unit(seen, dim=-1) @ unit(read, dim=-1).T
    torch.testing.assert_close(logits, own, rtol=1e-2, atol=1e-1)  # of weights in half precision
    assert logits.argmax(dim=1).tolist() == [0, 1, 2]  # and it learnt


def test_texts_of_like_length_together_are_texts_apart(trained: tuple[Path, Pair, Tokens]) -> None:
    _, pair, tokens = trained
    texts = [tokens(text) for text in ("red", "a very long picture of green " * 3, "blue picture", "a", "picture")]
    ids = torch.zeros(len(texts), TINY.context, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
    with torch.no_grad():
        torch.testing.assert_close(encode(pair.model, texts), pair.model.encode_text(ids), rtol=1e-4, atol=1e-5)


def test_an_image_tower_starts_as_the_packaged_one() -> None:
    built = load_backbone("builtin")
    pair = Pair(ClipConfig(depth=8, embed=128), 600)
    start_from(pair.model.visual, "builtin")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pair.eval().model.visual.proj.data = torch.eye(128)
    with torch.no_grad():
        own = sp.create_model(built, method="linear", num_classes=2, readout="backbone").eval().tower(images)
        torch.testing.assert_close(pair.model.visual(images), own, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="--start builtin is no vision transformer of this image size"):
        start_from(Pair(ClipConfig(width=64), 600).model.visual, "builtin")


def test_a_vocabulary_of_any_captions_gives_them_back(tmp_path: Path) -> None:
    captions = ["a red ring", "red rings & ÄÖ naïve", "a ring, a ring"] * 3
    made = vocabulary(captions, 30)
    assert made == vocabulary(captions[::-1], 30)  # words are counted, in whatever order they come
    tokens = Tokens(made, str(tmp_path), 40)
    for text in captions:
        assert tokens.own.decode(tokens(text)[1:-1]).strip() == text.lower().replace(",", " ,")
    assert len(tokens("a ring")) == 4  # frequent words are one token each
    assert max(tokens("ring")) == tokens.size - 1  # the end token's id is the largest, as argmax finds it


@pytest.mark.parametrize(
    ("rows", "head", "sentence"),
    [
        ([], ("image", "text"), r"captions\.csv has no column caption"),
        ([("red0.png", "a")], ("image", "caption"), r"has 1 images: at least two"),
        ([("red0.png", "a"), ("none.png", "b")], ("image", "caption"), r"names .*none\.png, which is not there"),
        ([("red0.png", "a"), ("red0.png", "")], ("image", "caption"), r"line 3: an image and a caption are needed"),
    ],
)
def test_a_table_that_is_none(rows: list, head: tuple, sentence: str, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "red0.png").write_bytes((pairs / "red0.png").read_bytes())
    with pytest.raises(UserError, match=sentence):
        pretrain_clip(write_table(tmp_path, rows, head), tmp_path / "out", TINY)


def test_what_is_there_is_not_written_over(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already: choose another --out"):
        pretrain_clip(pairs, tmp_path, TINY)
    with pytest.raises(UserError, match=r"has no captions\.csv"):
        pretrain_clip(tmp_path, tmp_path / "out", TINY)


@pytest.mark.parametrize("kind", ["scenes", "clothes"])
def test_captions_of_the_packaged_pair_are_true(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caption holds of its picture; and of another that it is true of, that has each of its telling words."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from builtin_clip import captions as grammar
    from builtin_clip.clothes import clothes
    from builtin_clip.scenes import SHAPES, held_out, scenes

    rng = np.random.default_rng(0)
    endless = {"scenes": scenes, "clothes": clothes}[kind](rng)
    shown = [next(endless)[1] for _ in range(150)]
    telling = {*grammar.COLOURS, *SHAPES, "large", "small", "top", "bottom", "left", "right", "center"}
    told = 0
    for own in shown:
        text, says = grammar.caption(own, rng)
        assert says <= own.holds()
        words = telling & {*text.split(), *(word.removesuffix("s") for word in text.split())}
        for other in shown:
            if says <= other.holds():
                listed = " ".join(other.holds()) + " ".join(w for ways in other.names.values() for w in ways)
                assert all(word in listed for word in words), (text, other)
                told += other is not own
    assert told > 20
    if kind == "scenes":
        held = {f"{c} {s}" for c in grammar.COLOURS for s in SHAPES if held_out(c, s)}
        assert len(held) == 36
        assert not any(pair in grammar.caption(one, rng)[0] for one in shown for pair in held)
