"""Prompts that are made for each image (CoCoOp)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

import selfprompt as sp
from tiny_clip import NAMES, examples, started, tiny_clip


@torch.no_grad()
def test_each_image_has_the_scores_of_coop_with_the_context_shifted_by_it(images: torch.Tensor) -> None:
    """As the paper's code computes it, one image at a time."""
    model, plain = started("cocoop"), started("coop")
    net = model.insertion.parametrization
    model.prompts.data += 0.1
    features = F.normalize(model.features(images), dim=-1)
    scores = model(images)
    for image, feature, score in zip(images, features, scores):
        shift = net.up.weight @ (net.down.weight @ feature + net.down.bias).clamp(min=0) + net.up.bias
        plain.prompts.data.copy_(model.prompts + shift)
        assert torch.allclose(plain(image[None])[0], score, atol=1e-4)
    assert (scores[0] - scores[0].mean() - (scores[1] - scores[1].mean())).abs().max() > 1e-3


def test_with_the_network_off_it_is_coop_and_from_words_zero_shot(images: torch.Tensor) -> None:
    model, coop, zero = started("cocoop"), started("coop", words="a photo of a"), started("zeroshot")
    for parameter in model.insertion.parametrization.up.parameters():
        parameter.data.zero_()
    assert torch.allclose(model(images), coop(images), atol=1e-5)
    assert torch.allclose(model(images), zero(images), atol=1e-5)
    labels = torch.arange(len(images)) % 3
    for each in (model, coop):
        F.cross_entropy(each(images), labels).backward()
    assert torch.allclose(model.prompts.grad, coop.prompts.grad, atol=1e-5)


def test_a_batch_has_the_gradients_of_its_images(images: torch.Tensor) -> None:
    labels, gradients = torch.arange(len(images)) % 3, []
    for size in (1, len(images)):
        model = started("cocoop")
        for part, label in zip(images.split(size), labels.split(size)):
            F.cross_entropy(model(part), label, reduction="sum").backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert len(gradients[0]) == 5
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-4), name


def test_it_answers_for_other_classes_and_starts_from_the_seed(images: torch.Tensor) -> None:
    model = started("cocoop")
    sp.fit(model, examples(0, 6), None, recipe=sp.Recipe(epochs=1, batch_size=1, lr=0.01, optimizer="sgd"))
    with torch.no_grad():
        other = model.for_classes(["zebra", NAMES[1]])
        assert torch.allclose(other(images)[:, 1], model(images)[:, 1], atol=1e-4)
        with model.head.folded():
            assert torch.allclose(model(images), model.eval()(images))
    starts = [started("cocoop", seed=seed).insertion.parametrization.down.weight for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    pair, before = tiny_clip(), torch.get_rng_state()
    sp.create_model(pair, "cocoop", class_names=NAMES)
    assert torch.equal(torch.get_rng_state(), before)
