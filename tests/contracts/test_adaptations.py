"""What is done at test time for one input: it sees no label, and changes neither the model nor other answers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import selfprompt as sp
from conftest import make_backbone
from selfprompt.adaptations import make_adaptation
from selfprompt.adaptations.tpt import TPT, TunedImages, TunedTexts
from selfprompt.data.views.base import Variation
from selfprompt.errors import UserError
from selfprompt.model import PromptedModel
from selfprompt.objectives.entropy import confident, entropy, log_mean
from tiny_clip import NAMES, tiny_clip, write_clip


def model(method: str, seed: int = 0, **fields: object) -> PromptedModel:
    if method in ("coop", "cocoop", "vpt"):
        fields = {"num_prompts": 4, **fields}
    made = sp.create_model(tiny_clip(), method, class_names=NAMES, seed=seed, **fields)
    made.initialize(seed=seed)
    return made.eval()


def linear() -> PromptedModel:
    """Prompts for images, and no text anywhere."""
    made = sp.create_model(make_backbone(), "vpt", num_classes=3, num_prompts=2)
    made.initialize()
    torch.nn.init.normal_(made.head.linear.weight)
    return made.eval()


MODELS = {
    "words": partial(model, "zeroshot"),
    "context": partial(model, "coop"),
    "middle": partial(model, "coop", place="middle"),
    "of each image": partial(model, "cocoop"),
    "images and texts": partial(model, "vpt"),
    "context, and images": partial(model, "coop", image_prompts=2),
    "images": linear,
}
TUNED = TPT(views=12, rho=0.3)


def views(count: int, of: int = TUNED.views) -> Tensor:
    return torch.randn(count * of, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def answers(made: PromptedModel, inputs: Tensor, **changes: object) -> Tensor:
    return TUNED.model_copy(update=changes).adapted(made)(inputs)


@pytest.mark.parametrize("kind", MODELS)
def test_each_input_is_answered_as_if_it_were_alone_and_the_model_stays(kind: str, monkeypatch) -> None:
    made, inputs = MODELS[kind](), views(3)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    flags = {name: p.requires_grad for name, p in made.named_parameters()}
    together = answers(made, inputs)
    alone = torch.cat([answers(made, one) for one in inputs.chunk(3)])
    turned = torch.cat(inputs.chunk(3)[::-1])
    assert torch.allclose(together, alone, atol=1e-4)
    assert torch.allclose(answers(made, turned).flip(0), together, atol=1e-4)
    assert torch.equal(answers(made, inputs), together)
    monkeypatch.setattr("selfprompt.adaptations.tpt.TEXTS", 2 * len(NAMES))
    monkeypatch.setattr("selfprompt.adaptations.base.FORWARD", 7)
    assert torch.allclose(answers(made, inputs), together, atol=1e-4)
    assert not torch.allclose(together, made(inputs[:: TUNED.views]), atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert {name: p.requires_grad for name, p in made.named_parameters()} == flags
    assert all(p.grad is None for p in made.parameters())


@pytest.mark.parametrize("place", ["end", "middle"])
@pytest.mark.parametrize("steps", [1, 3])
@torch.no_grad()
def test_contexts_of_several_inputs_and_a_stored_derivative_are_as_single_prompts(
    place: str, steps: int, monkeypatch
) -> None:
    """In place of the model's own, one after the other, with every gradient through the whole model."""
    made, inputs, adaptation = model("coop", place=place), views(2), TUNED.model_copy(update={"steps": steps})
    expected = TunedImages(made, adaptation)(inputs)
    assert torch.allclose(adaptation.adapted(made)(inputs), expected, atol=1e-4)
    monkeypatch.setattr("selfprompt.adaptations.tpt.EARNED", 0.1)
    after = adaptation.adapted(made)
    assert torch.allclose(after(inputs), expected, atol=1e-4)
    assert after.derivative is None
    assert torch.allclose(after(inputs), expected, atol=1e-4)
    assert after.derivative is not None


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("changes", [{"steps": 0}, {"lr": 0.0}])
@torch.no_grad()
def test_without_a_step_it_is_the_models_own_answer(kind: str, changes: dict) -> None:
    made, inputs = MODELS[kind](), views(2)
    assert torch.allclose(answers(made, inputs, **changes), made(inputs[:: TUNED.views]), atol=1e-5)


def steps_of(made: PromptedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts before and after the step, and the gradient before, on the features of some views."""
    start, features = made.prompts.detach(), made.features(views(1)).detach()[None]
    prompts = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(entropy(log_mean(made.head(features, prompts))).sum(), prompts)
    return start, TUNED.tuned(start, partial(made.head, features)), gradient


def test_a_first_step_is_as_long_as_the_rate_whatever_the_loss_is_multiplied_with(monkeypatch) -> None:
    """AdamW from a fresh state: rate times the gradient's sign, beside the decay."""
    start, after, gradient = steps_of(model("coop"))
    known = gradient.abs() > 1e-5
    moved = (after - start + TUNED.lr * TUNED.weight_decay * start)[known]
    assert len(moved) > 10
    assert torch.allclose(moved, -TUNED.lr * gradient[known].sign(), rtol=0.01)
    monkeypatch.setattr("selfprompt.adaptations.tpt.entropy", lambda scores: 1000 * entropy(scores))
    assert torch.allclose(steps_of(model("coop"))[1], after, atol=1e-6)


def test_a_step_down_the_gradient_lowers_the_entropy_of_the_mean() -> None:
    made = model("coop")
    start, _, gradient = steps_of(made)
    features = made.features(views(1)).detach()[None]
    losses = [entropy(log_mean(made.head(features, start - rate * gradient))).item() for rate in (0.0, 1e-3)]
    assert losses[1] < losses[0]


def test_entropy_of_the_mean_is_as_written_out_and_no_less_than_the_mean_entropy() -> None:
    scores = 5 * torch.randn(4, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shares = scores.softmax(-1)
    mean = shares.mean(-2)
    plain = -(mean * mean.log()).sum(-1)
    assert torch.allclose(entropy(log_mean(scores)), plain, rtol=1e-12)
    assert (plain >= entropy(scores).mean(-1)).all()
    alike = scores[:, :1].expand(-1, 7, -1)
    assert torch.allclose(entropy(log_mean(alike)), entropy(scores[:, 0]), rtol=1e-12)
    sure = torch.tensor([[[0.0, -1e5], [0.0, -1e5]]])
    assert entropy(log_mean(sure)).item() == 0


@pytest.mark.parametrize(("share", "counts"), [(0.0, (1, 1)), (0.1, (10, 1)), (0.29, (29, 1)), (1.0, (100, 5))])
def test_so_many_views_are_kept_and_they_are_the_surest(share: float, counts: tuple[int, int]) -> None:
    for number, count in zip((100, 5), counts):
        scores = torch.randn(2, number, 3, generator=torch.Generator().manual_seed(1))
        kept = confident(scores, share)
        assert kept.shape == (2, count)
        rest = entropy(scores).scatter(-1, kept, torch.inf)
        assert (entropy(scores).gather(-1, kept).amax(-1) <= rest.amin(-1)).all()


@torch.no_grad()
def test_averaging_is_the_mean_probability_and_keeps_the_views_that_tpt_keeps() -> None:
    made, inputs = linear(), views(2)
    shares = made(inputs).softmax(-1).unflatten(0, (2, TUNED.views))
    mean = make_adaptation(f"averaging:views={TUNED.views}").adapted(made)(inputs)
    assert torch.allclose(mean.exp(), shares.mean(1), atol=1e-6)
    one = make_adaptation(f"averaging:views={TUNED.views}:rho=0").adapted(made)(inputs)
    surest = entropy(shares.log()).argmin(1)
    assert torch.allclose(one.exp(), shares[torch.arange(2), surest], atol=1e-6)


def picture(index: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(index).integers(0, 256, (40, 50, 3), dtype=np.uint8))


@pytest.mark.parametrize("flip", [True, False])
def test_views_follow_from_the_picture_alone_and_the_first_is_plain(flip: bool) -> None:
    view = sp.Protocol(image_size=16).view()
    some = view.views(picture(0), Variation(9, 0.5, flip, 0))
    assert np.array_equal(some[0], view.read(picture(0)))
    assert len({v.tobytes() for v in some}) == 9
    again = view.views(np.asarray(picture(0)), Variation(9, 0.5, flip, 0))
    assert all(np.array_equal(a, b) for a, b in zip(some, again))
    for other in (Variation(9, 0.5, flip, 1), Variation(9, 0.2, flip, 0), Variation(9, 0.5, not flip, 0)):
        assert not all(np.array_equal(a, b) for a, b in zip(some, view.views(picture(0), other)))
    ramp = Image.fromarray(np.tile(np.arange(50, dtype=np.uint8)[None, :, None], (40, 1, 3)))
    rises = [v[0, 0, 0] < v[0, 0, -1] for v in view.views(ramp, Variation(30, 0.5, flip, 0))]
    assert all(rises) != flip


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    made = sp.create_model(
        f"open_clip:{write_clip(tmp_path / 'pair')}", "zeroshot", class_names=["ant", "bee", "cow"]
    )
    made.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


SPEC = "tpt:views=6:rho=0.5:lr=0.05"


def test_evaluate_and_predict_agree_whatever_stands_beside_an_image(
    adapter: Path, folder: Path, works, monkeypatch
) -> None:
    files = sorted(folder.rglob("*.png"))[::3]
    found = sp.predict(adapter, files, adapt=SPEC)
    turned = sp.predict(adapter, files[::-1], adapt=SPEC)[::-1]
    alone = [answer for file in files for answer in sp.predict(adapter, file, adapt=SPEC)]
    plain = sp.predict(adapter, files)
    chances = [[answer["probability"] for answer in those] for those in (found, turned, alone, plain)]
    assert [a["label"] for a in found] == [a["label"] for a in turned] == [a["label"] for a in alone]
    assert chances[1] == pytest.approx(chances[0], abs=1e-5)
    assert chances[2] == pytest.approx(chances[0], abs=1e-5)
    assert chances[3] != pytest.approx(chances[0], abs=1e-3)
    result = json.loads(works("evaluate", adapter, folder, "--adapt", SPEC, "--split", "train", "--json"))
    assert result["adapted"] == make_adaptation(SPEC).describe()
    own = sp.evaluate(adapter, str(folder), split="train").get("train_accuracy", 0)
    assert result["unadapted"]["accuracy"] == pytest.approx(own)
    assert result["unadapted"]["difference"] == pytest.approx(result["train_accuracy"] - own)
    every = sp.predict(adapter, folder, adapt=SPEC)
    from selfprompt.data.datasets import with_splits

    train = with_splits(sp.load_dataset(folder), sp.load(adapter).protocol).train
    labels = {str(image): ("ant", "bee", "cow")[label] for image, label in zip(train.images, train.labels)}
    right = [labels[a["image"]] == a["label"] for a in every if a["image"] in labels]
    assert len(right) == result["images"]
    assert result["train_accuracy"] == pytest.approx(100 * np.mean(right))
    said = json.loads(works("predict", adapter, *files, "--adapt", SPEC, "--json"))
    assert said["adapted"] == result["adapted"]
    assert [p["label"] for p in said["predictions"]] == [p["label"] for p in found]
    no_step = sp.evaluate(adapter, str(folder), adapt="tpt:views=6:steps=0")
    assert no_step["test_loss"] == pytest.approx(sp.evaluate(adapter, str(folder))["test_loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tpd", "did you mean tpt"),
        ("tpt:views", "write NAME, or"),
        ("tpt:views=1", "greater than or equal to 2"),
        ("tpt:rho=2", "less than or equal to 1"),
        ("averaging:lr=1", "Adaptation averaging has no lr: tpt has it"),
    ],
)
def test_what_is_wrongly_asked_for_is_refused(spec: str, said: str, tmp_path: Path, fails) -> None:
    assert said in fails("evaluate", tmp_path, tmp_path, "--adapt", spec)
    with pytest.raises(UserError, match=said):
        sp.predict(tmp_path, tmp_path, adapt=spec)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: sp.create_model(make_backbone(), "linear", num_classes=3), "this adapter has none"),
        (lambda: model("coop", per_class=True), "prompts of its own here, and tpt"),
        (lambda: model("zeroshot", template="{}"), "words before a name"),
        (lambda: model("zeroshot", template="pre{}"), "words before a name"),
        (lambda: model("zeroshot", template="a {}.|the {}."), "not one such"),
    ],
)
def test_what_has_nothing_to_tune_is_refused(made, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TUNED.adapted(made())


def test_words_are_tuned_wherever_there_are_some() -> None:
    assert isinstance(TUNED.adapted(model("coop", image_prompts=2)), TunedTexts)
    assert isinstance(TUNED.adapted(model("vpt")), TunedImages)


def test_a_kind_of_input_without_views_is_refused() -> None:
    from tiny_text import NumbersView

    with pytest.raises(UserError, match="leave the adaptation out"):
        NumbersView().views([2, 3], TUNED.variation)
