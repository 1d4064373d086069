"""What holds for every method on a pair of towers, and for classes that are told by their texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import selfprompt as sp
from selfprompt.errors import UserError
from selfprompt.methods import make_method
from selfprompt.model import PromptedModel
from tiny_clip import NAMES, examples, started, tiny_clip, tiny_open_clip, tokenizer, write_clip

METHODS = [name for name in sp.list_methods() if not make_method(name).texts]


@pytest.mark.parametrize("changes", [{}, {"quick_gelu": False}, {"vision": {"pool_type": "avg", "no_ln_pre": True}}])
@torch.no_grad()
def test_zero_shot_scores_are_open_clips(changes: dict, images: torch.Tensor) -> None:
    own = tiny_open_clip(**changes)
    model = sp.create_model(tiny_clip(**changes), "zeroshot", class_names=NAMES)
    texts = tokenizer()([f"a photo of a {name}." for name in NAMES])
    expected = own.get_logits(images, texts)[0]
    assert torch.allclose(model(images), expected, atol=1e-4)
    several = sp.create_model(tiny_clip(**changes), "zeroshot", class_names=NAMES, template="a {}.|the {}.")
    each = [own.encode_text(tokenizer()([f"{a} {name}." for name in NAMES]), normalize=True) for a in ("a", "the")]
    mean = torch.nn.functional.normalize(sum(each), dim=-1)
    expected = own.logit_scale.exp() * own.encode_image(images, normalize=True) @ mean.T
    assert torch.allclose(several(images), expected, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_saves_and_loads(method: str, tmp_path: Path) -> None:
    pair = tiny_clip()
    before = pair.fingerprint()
    model = started(method)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    state = {k: v.clone() for k, v in model.state_dict().items()}
    data = examples(0)
    sp.fit(model, data, examples(1, 12), recipe=sp.Recipe(epochs=3, batch_size=8, lr=1e-2), output_dir=tmp_path)
    if method != "pc":
        moved = {k for k, v in model.state_dict().items() if k in state and not torch.equal(v, state[k])}
        assert moved == trained
    assert pair.fingerprint() == before
    back = sp.load(tmp_path, backbone=tiny_clip())
    pixels = torch.stack([torch.from_numpy(image) for image in data.images]).permute(0, 3, 1, 2)
    with torch.no_grad():
        assert torch.allclose(back(pixels), model.eval()(pixels), atol=1e-5)
        singles = torch.cat([model(image[None]) for image in pixels[:4]])
        assert torch.allclose(model(pixels[:4]), singles, atol=1e-4)
        assert model(pixels[:0]).shape == (0, len(NAMES))
    with pytest.raises(UserError, match="with weights"):
        sp.load(tmp_path, backbone=tiny_clip(seed=1))


@pytest.mark.parametrize("prototypes", [None, "mean"])
def test_prompts_of_both_towers_train_together(prototypes: str | None, tmp_path: Path, images: torch.Tensor) -> None:
    model = started("coop", image_prompts=3, prototypes=prototypes)
    both = {"tower.insertion.prompts", "head.text.insertion.prompts"}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == both
    before = {name: p.detach().clone() for name, p in model.named_parameters() if name in both}
    alone = started("vpt", num_prompts=3, prototypes=prototypes)
    assert torch.equal(before["tower.insertion.prompts"], alone.prompts)
    assert torch.equal(before["head.text.insertion.prompts"], started("coop").prompts)
    sp.fit(model, examples(0), None, recipe=sp.Recipe(epochs=2, batch_size=8, lr=1e-2), output_dir=tmp_path)
    assert not any(torch.equal(value, model.get_parameter(name)) for name, value in before.items())
    back = sp.load(tmp_path, backbone=tiny_clip())
    assert torch.allclose(back(images), model.eval()(images), atol=1e-5)
    assert back.for_classes(["one", "another"])(images).shape == (len(images), 2)
    with pytest.raises(UserError, match="give image_prompts"):
        started("coop", prototypes="mean")


@torch.no_grad()
def test_words_as_a_start_and_no_step_are_the_zero_shot_scores(images: torch.Tensor) -> None:
    zero = started("zeroshot")
    for fields in ({}, {"per_class": True}):
        count = len(tiny_clip().text.words.encode("a photo of a"))
        model = started("coop", words="a photo of a", num_prompts=count, **fields)
        assert torch.allclose(model(images), zero(images), atol=1e-5)
        assert fields or torch.equal(model(images), zero(images))


@pytest.mark.parametrize("place", ["end", "middle", "front"])
@pytest.mark.parametrize("per_class", [False, True])
def test_in_parts_and_without_padding_texts_are_as_in_one(place: str, per_class: bool, images: torch.Tensor) -> None:
    """Features within 1e-5, the prompts' gradients within 1e-4 relative."""
    model = started("coop", place=place, per_class=per_class)
    found = []
    for parts in (True, False):
        model.insertion.by_token = parts
        model.zero_grad()
        rows = model.head.rows[0]
        features = model.head.encode(rows) if parts or not per_class else one_by_one(model, rows)
        (features * torch.arange(features.numel()).view_as(features).cos()).sum().backward()
        found.append((features.detach(), model.prompts.grad.clone()))
    (ours, gradient), (plain, expected) = found
    assert torch.allclose(ours, plain, atol=1e-5)
    assert (gradient - expected).norm() < 1e-4 * expected.norm()


def one_by_one(model: PromptedModel, rows: list[list[int]]) -> torch.Tensor:
    """Each class's text alone, with the prompts of that class."""
    from selfprompt.heads.class_text import padded

    device = torch.device("cpu")
    return torch.cat([model.head.text(padded([row], device), rows=torch.tensor([i])) for i, row in enumerate(rows)])


@pytest.mark.parametrize("method", ["zeroshot", "coop", "vpt", "apt"])
@torch.no_grad()
def test_the_order_of_classes_is_the_order_of_scores(method: str, images: torch.Tensor) -> None:
    turned = [2, 0, 1]
    plain, other = started(method), started(method, [NAMES[i] for i in turned])
    assert torch.allclose(other(images), plain(images)[:, turned], atol=1e-5)


def test_a_shared_contexts_gradient_is_the_sum_of_the_classes_own(images: torch.Tensor) -> None:
    shared, own = started("coop"), started("coop", per_class=True)
    own.prompts.data.copy_(shared.prompts.data.expand_as(own.prompts))
    labels = torch.arange(len(images)) % 3
    scores = [model(images) for model in (shared, own)]
    assert torch.allclose(*scores, atol=1e-5)
    for score in scores:
        torch.nn.functional.cross_entropy(score, labels).backward()
    assert torch.allclose(shared.prompts.grad[0], own.prompts.grad.sum(0), atol=1e-5)
    assert not torch.allclose(own.prompts.grad[0], own.prompts.grad[1], atol=1e-6)


def test_more_classes_than_a_chunk_are_computed_twice_and_alike(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = []
    for chunk in (512, 2):
        monkeypatch.setattr("selfprompt.heads.class_text.HELD", chunk)
        monkeypatch.setattr("selfprompt.heads.class_text.CHUNK", chunk)
        model = started("coop", [f"thing {i * i}" for i in range(9)])
        model(images)[:, 3].sum().backward()
        gradients.append(model.prompts.grad)
    assert torch.allclose(*gradients, atol=1e-5)


@torch.no_grad()
def test_prompts_answer_for_other_classes(images: torch.Tensor) -> None:
    model = started("coop")
    other = model.for_classes(["zebra", "the dog"])
    assert torch.allclose(other(images)[:, 1], model(images)[:, 1], atol=1e-5)
    assert other.class_names == ["zebra", "the dog"]
    with pytest.raises(UserError, match="say nothing of others"):
        started("coop", per_class=True).for_classes(["zebra", "cat"])
    with pytest.raises(UserError, match="train it on the new ones"):
        started("linear").for_classes(["zebra", "cat"])


def test_a_folder_of_open_clips_is_found_again(tmp_path: Path, images: torch.Tensor) -> None:
    folder = write_clip(tmp_path / "pair")
    model = sp.create_model(f"open_clip:{folder}", "coop", class_names=NAMES, num_prompts=4)
    model.initialize()
    model.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        assert torch.equal(sp.load(tmp_path / "adapter")(images), model.eval()(images))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"names": ["cat", "cat"]}, "same text"),
        ({"names": ["cat", "very " * 40]}, "shorten it"),
        ({"num_prompts": 60}, "use fewer prompts"),
        ({"words": "a photo of a", "num_prompts": 2}, "tokens for 2 prompts"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        started("coop", **fields)


def test_texts_are_asked_for() -> None:
    from conftest import make_backbone

    with pytest.raises(UserError, match="needs a backbone with texts"):
        sp.create_model(make_backbone(), "coop", class_names=NAMES)
    with pytest.raises(UserError, match="needs the classes' names"):
        sp.create_model(tiny_clip(), "coop", num_classes=3)
    with pytest.raises(UserError, match="not read causally"):
        tiny_clip(text={"no_causal_mask": True})


def test_several_contexts_at_once_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features and gradients, in one chunk or several; the shared beginning holds the prompts, or none of them."""
    contexts = torch.randn(3, 4, 24, generator=torch.Generator().manual_seed(3)) * 0.1
    for place, chunk in (("end", 512), ("front", 512), ("middle", 4)):
        monkeypatch.setattr("selfprompt.heads.class_text.HELD", chunk)
        monkeypatch.setattr("selfprompt.heads.class_text.CHUNK", chunk)
        model = started("coop", place=place)
        rows = model.head.rows[0]
        given = contexts.clone().requires_grad_()
        together = model.head.encode(rows, given)
        together.square()[..., 3].sum().backward()
        assert model.prompts.grad is None
        for own, context, gradient in zip(together, contexts, given.grad):
            model.zero_grad()
            model.prompts.data[0] = context
            alone = model.head.encode(rows)
            alone.square()[..., 3].sum().backward()
            assert torch.allclose(own, alone, atol=1e-5)
            assert torch.allclose(gradient, model.prompts.grad[0], atol=1e-5)
