"""Prompts that are shifted by what the text says that they meet (IPT)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import selfprompt as sp
from selfprompt.errors import UserError
from selfprompt.inputs import Text, take
from selfprompt.model import PromptedModel
from tiny_models import known

BERT = "BertForMaskedLM"
COUNT = 3
INSTANCE = pytest.mark.parametrize("instance", ["table", "bottleneck"])
FORMS = [(method, instance) for method in ("ipt", "prefix") for instance in ("table", "bottleneck")]
EVERY = pytest.mark.parametrize(("method", "instance"), FORMS)


def made(method: str = "ipt", instance: str | None = "table", shaken: bool = True, **fields: Any) -> PromptedModel:
    model = sp.create_model(
        known(BERT)[1], method, class_names=["good", "bad"], num_prompts=COUNT, instance=instance, **fields
    ).eval()
    model.initialize()
    if shaken and instance:
        generator = torch.Generator().manual_seed(1)
        for parameter in model.insertion.parametrization.parameters():
            parameter.data += torch.randn(parameter.shape, generator=generator)
    return model


def texts(model: PromptedModel, *sources: str) -> Text:
    view: Any = model.protocol.view()
    return view.collate((view.read(view.accept(source)) for source in sources), len(sources))


def prompts(model: PromptedModel, batch: Text) -> torch.Tensor:
    """The first layer's, as each text meets them."""
    seen: list[torch.Tensor] = []
    layer = model.insertion.layer

    def watched(i: int, *rest: Any) -> torch.Tensor:
        found = layer(i, *rest)
        if not i:
            seen.append(found)
        return found

    model.insertion.layer = watched
    model.features(batch)
    return seen[0]


@EVERY
@torch.no_grad()
def test_prompts_are_of_the_first_words_and_of_nothing_else(method: str, instance: str) -> None:
    model = made(method, instance)
    batch = texts(model, "w1 w2 w3 w4", "w1 w2 w3 w9 w5 w6", "w1 w2 w7", "w1")
    found = prompts(model, batch)
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=1e-2)
    for i in range(4):
        assert torch.allclose(prompts(made(method, instance), take(batch, slice(i, i + 1)))[0], found[i], atol=1e-6)
    if instance == "table":  # a prompt without a word is the shared one
        rows = model.insertion.parametrization.rows
        assert torch.equal(found[3, 1:], model.prompts[0, 1:])
        assert torch.equal(found[2], model.prompts[0] + rows[batch.ids[2][batch.ids[2] >= 0][:COUNT]])


@EVERY
def test_at_its_start_it_is_shared_prompts_in_answers_and_gradients(method: str, instance: str) -> None:
    plain = "prompt-tuning" if method == "ipt" else method
    more = {"template": "{soft} {text}", "answers": "linear", "start_from": "random"} if method == "ipt" else {}
    models = made(method, instance, shaken=False), made(plain, None, **more)
    batch = texts(models[0], "w1 w2 w3 w4", "w5", "good bad")
    answers = [model(batch) for model in models]
    assert torch.allclose(*answers, atol=1e-6)
    for answer in answers:
        F.cross_entropy(answer, torch.tensor([0, 1, 0])).backward()
    assert torch.allclose(*(model.prompts.grad for model in models), atol=1e-6)
    assert any(p.grad is not None and p.grad.any() for p in models[0].insertion.parametrization.parameters())


def test_rows_of_words_that_stood_there_get_a_gradient_and_no_others() -> None:
    model = made()
    batch = texts(model, "w1 w2 w3 w4 w5", "w6")
    model(batch).square().sum().backward()
    known_ids = [batch.ids[0][batch.ids[0] >= 0][:COUNT], batch.ids[1][batch.ids[1] >= 0][:1]]
    given = model.insertion.parametrization.rows.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert given == sorted(torch.cat(known_ids).tolist())


def test_only_the_first_block_reads_the_text() -> None:
    model, plain = made("prefix"), made("prefix", None)
    batch = texts(model, "w1 w2 w3 w4")

    def keys(of: PromptedModel) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        project = of.insertion.project
        of.insertion.project = lambda *given: found.append(project(*given)[0]) or project(*given)
        of.features(batch)
        return found

    first, second = keys(model)
    plainly = keys(plain)
    assert first.shape[0] == 1
    assert not torch.allclose(first[0], plainly[0], atol=1e-2)
    assert torch.equal(second, plainly[1])


@EVERY
@torch.no_grad()
def test_folded_for_inference_each_text_keeps_its_own(method: str, instance: str) -> None:
    model = made(method, instance)
    batch = texts(model, "w1 w2 w3 w4", "w5 w6 w7", "good")
    expected = model(batch)
    assert torch.equal(model(batch), expected)
    with model.folded():
        assert torch.allclose(model(batch), expected, atol=1e-6)


@INSTANCE
def test_it_learns_where_each_text_wants_another_prompt_and_its_seed_decides_its_start(instance: str) -> None:
    model, other = (made("ipt", instance, shaken=False) for _ in range(2))
    before = torch.get_rng_state()
    again = sp.create_model(known(BERT)[1], "ipt", num_classes=2, num_prompts=COUNT, instance=instance, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    states = [m.insertion.parametrization.state_dict() for m in (model, other, again)]
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    if instance == "bottleneck":
        assert not torch.equal(states[0]["down.weight"], states[2]["down.weight"])
    pairs = [("w1 w2", 0), ("w2 w1", 1), ("w3 w4", 0), ("w4 w3", 1)]
    sp.fit(model, pairs, pairs, recipe=sp.Recipe(epochs=40, batch_size=4, lr=3e-2, weight_decay=0))
    moved = model.insertion.parametrization.state_dict()
    assert not any(torch.equal(moved[k], v) for k, v in states[1].items())


def test_what_cannot_be_is_refused() -> None:
    for fields, said in (
        ({"method": "prefix", "instance": "table", "keep": 0.5}, "leave keep out"),
        ({"method": "ipt", "template": "{soft:2} {text}", "answers": "words"}, "no {mask}"),
    ):
        with pytest.raises(UserError, match=said):
            sp.create_model(known(BERT)[1], num_classes=2, **fields)
    llama = sp.create_model(known("LlamaForCausalLM")[1], "ipt", num_classes=2, num_prompts=COUNT)
    with pytest.raises(UserError, match="do not generate"):
        llama.backbone.generate(texts(llama, "w1"), llama.insertion, max_new_tokens=1)
