"""Twenty and more families of language models are prompted alike, and none is written anew."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import selfprompt as sp
from selfprompt.backbones.base import UNEDITED, Backbone, BlockEdit, Context, Edits, insert
from selfprompt.backbones.fingerprints import digest
from selfprompt.backbones.text import TextBackbone, wrap
from selfprompt.data.protocol import TextProtocol
from selfprompt.errors import UserError
from selfprompt.inputs import move, take
from selfprompt.prompts.insertion.words import AmongWords
from tiny_models import AT_THE_INPUT, DEEP, FAMILIES, batch, known, make_model, tokenizer

ROWS = [[6, 7, 8, 12, 13, 14, 9], [20, 21, 22], [30, 16, 17, 18, 11]]
SLOTS = [[6, -1, -2, 7, -3, 12, 13], [-1, -2, -3, 21], [30, 16, -1, -2, 17, -3, 11]]
GENERATES = [name for name in FAMILIES if not name.endswith("MaskedLM")]


class Deep(Edits):
    """Prompts at every block, of a scale that shows."""

    def __init__(self, backbone: Backbone, count: int = 3) -> None:
        generator = torch.Generator().manual_seed(3)
        self.prompts = (2 * torch.randn(backbone.depth, count, backbone.width, generator=generator)).requires_grad_()

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        return BlockEdit(extra_kv=backbone.keys_values(i, self.prompts[i]))


class Hidden(Deep):
    """The same, and nobody sees them."""

    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        nobody = torch.zeros(len(context.content), self.prompts.shape[1], dtype=torch.bool)
        one = torch.ones(())
        return BlockEdit(backbone.keys_values(i, self.prompts[i]), extra_mask=nobody, temperature=one)


def among(backbone: TextBackbone) -> AmongWords:
    """Three prompts among words."""
    made = AmongWords(3, backbone.word_width)
    made.prompts.data = torch.randn(made.prompts.shape, generator=torch.Generator().manual_seed(2))
    return made


def prompted(backbone: TextBackbone, where: str) -> tuple[Edits, list[list[int]]]:
    return (among(backbone), SLOTS) if where == "words" else (Deep(backbone), ROWS)


def parts(model: Any) -> Any:
    return model.get_encoder() if model.config.is_encoder_decoder else model.base_model


PLACES = [(name, where) for name in FAMILIES for where in ("words", "blocks") if where == "words" or name in DEEP]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_neutral_prompt_is_the_model(family: str) -> None:
    model, backbone = known(family)
    texts = batch(ROWS)
    own = parts(model)(input_ids=texts.ids, attention_mask=texts.mask.long())[0]
    assert torch.equal(backbone.run(texts, UNEDITED).x[texts.mask], own[texts.mask])
    if family in DEEP:
        out = backbone.run(texts, Hidden(backbone)).x
        assert torch.allclose(out[texts.mask], own[texts.mask], atol=1e-5)
    assert backbone.deep == (family in DEEP)
    assert backbone.depth == 2
    if family not in ("T5ForConditionalGeneration", "BartForConditionalGeneration"):
        logits = model(input_ids=texts.ids, attention_mask=texts.mask.long()).logits
        ours = backbone.readout(backbone.run(texts, UNEDITED), "words")
        assert torch.allclose(ours, logits[torch.arange(3), texts.at], atol=1e-5)


@pytest.mark.parametrize(("family", "where"), PLACES)
@torch.no_grad()
def test_a_prompt_changes_the_output_and_a_padded_batch_is_its_texts(family: str, where: str) -> None:
    _, backbone = known(family)
    edits, rows = prompted(backbone, where)
    for pool in ("backbone", "words"):
        out = backbone.readout(backbone.run(batch(rows), edits), pool)
        plain = backbone.readout(backbone.run(batch(rows), UNEDITED), pool)
        assert ((out - plain).norm(dim=1) > 1e-3 * plain.norm(dim=1)).all()
        single = [backbone.readout(backbone.run(batch([row]), edits), pool) for row in rows]
        assert torch.allclose(out, torch.cat(single), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_slots_hold_what_the_models_own_embeddings_would(family: str) -> None:
    model, backbone = known(family)
    edits, texts = among(backbone), batch(SLOTS)
    words = backbone.trunk.get_input_embeddings()(texts.ids)
    filled = words.clone()
    for row, column in (texts.ids < 0).nonzero().tolist():
        filled[row, column] = edits.prompts[0, -1 - int(texts.ids[row, column])]
    expected = parts(model)(inputs_embeds=filled, attention_mask=texts.mask.long())[0]
    assert torch.allclose(backbone.run(texts, edits).x[texts.mask], expected[texts.mask], atol=1e-5)


@contextmanager
def concatenated(model: Any, prompts: Tensor) -> Iterator[None]:
    """The published form: prompts are tokens before those of every block, and what becomes of them is thrown away.

    Rotations do not turn them, and relative buckets are those of the text.
    """
    trunk, count, calls = parts(model), prompts.shape[1], []

    def wide(value: Any) -> Any:
        if isinstance(value, tuple) and len(value) == 2:
            return tuple(
                torch.cat([f(v[..., :1, :]).expand(*v.shape[:-2], count, -1), v], -2)
                for f, v in zip((torch.ones_like, torch.zeros_like), value)
            )
        if torch.is_tensor(value) and value.dim() == 4:  # a mask
            return F.pad(value, (count, 0, count, 0), value=True if value.dtype == torch.bool else 0.0)
        return value

    def before(module: Any, args: Any, kwargs: Any) -> Any:
        x = args[0] if args else kwargs["hidden_states"]
        own = prompts[len(calls)].expand(len(x), -1, -1)
        calls.append(module)
        kwargs = {k: wide(v) for k, v in kwargs.items()}
        x = torch.cat([own, x], dim=1)
        return ((x, *map(wide, args[1:])), kwargs) if args else (args, {**kwargs, "hidden_states": x})

    def after(module: Any, args: Any, out: Any) -> Any:
        if isinstance(out, tuple):
            bias = out[1][..., count:, count:] if torch.is_tensor(out[1]) else out[1]
            return out[0][:, count:], bias, *out[2:]
        return out[:, count:]

    hooks = []
    _, backbone = known(type(model).__name__)
    for name in {call.block for call in backbone.calls}:
        block = trunk.get_submodule(name)
        hooks += [block.register_forward_pre_hook(before, with_kwargs=True), block.register_forward_hook(after)]
        bias = getattr(getattr(getattr(block, "layer", [None])[0], "SelfAttention", None), "compute_bias", None)
        if bias:  # T5's
            block.layer[0].SelfAttention.compute_bias = lambda q, k, bias=bias, **rest: F.pad(
                bias(q - count, k - count, **rest), (count, 0, count, 0)
            )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", DEEP)
def test_deep_prompts_equal_the_published_form(family: str) -> None:
    _, backbone = known(family)
    edits, texts = Deep(backbone), batch(ROWS)
    ours = backbone.run(texts, edits).x[texts.mask]
    model = make_model(family)
    with concatenated(model, edits.prompts):
        theirs = parts(model)(input_ids=texts.ids, attention_mask=texts.mask.long())[0][texts.mask]
    assert torch.allclose(ours, theirs, atol=1e-5)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
    own, published = (torch.autograd.grad((x * weights).sum(), edits.prompts)[0] for x in (ours, theirs))
    assert (own - published).norm() <= 1e-4 * published.norm()
    assert own.flatten(1).norm(dim=1).min() > 0


@pytest.mark.parametrize("where", ["words", "blocks"])
@pytest.mark.parametrize("family", GENERATES)
@torch.no_grad()
def test_it_generates_what_step_by_step_forward_says(family: str, where: str) -> None:
    if where == "blocks" and family not in DEEP:
        pytest.skip("its attention takes no further keys")
    _, backbone = known(family)
    edits, rows = prompted(backbone, where)
    made, scores = generated(backbone, rows, edits)
    _, plain = generated(backbone, rows, UNEDITED)
    assert ((scores - plain).norm(dim=(0, 2)) > 1e-3 * plain.norm(dim=(0, 2))).all()
    for row, own, said in zip(rows, made, scores.unbind(1)):
        states = backbone.run(batch([row]), edits).x
        steps = list(row) if backbone.kind == "decoder" else [backbone.model.config.decoder_start_token_id]
        for score in said:
            if backbone.kind == "decoder":
                expected = backbone.readout(backbone.run(batch([steps]), edits), "words")[0]
            else:
                out = backbone.model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([steps]))
                expected = out.logits[0, -1]
            assert torch.allclose(score, expected, atol=1e-4)
            steps.append(int(expected.argmax()))
        assert steps[-3:] == own[-3:]


def generated(backbone: TextBackbone, rows: list[list[int]], edits: Edits) -> tuple[list[list[int]], Tensor]:
    """Three tokens for each text, and the scores of all words at each step."""
    scores: list[Tensor] = []

    def note(ids: Tensor, given: Tensor) -> Tensor:
        scores.append(given.clone())
        return given

    made = backbone.generate(batch(rows), edits, max_new_tokens=3, do_sample=False, logits_processor=[note])
    return made.tolist(), torch.stack(scores)


@pytest.mark.parametrize("family", ["BertForMaskedLM", "LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_checkpointing_changes_no_gradient(family: str) -> None:
    _, backbone = known(family)
    edits = Deep(backbone)
    gradients = []
    for checkpointing in (False, True):
        out = backbone.readout(backbone.run(batch(ROWS), edits, checkpointing=checkpointing))
        gradients.append(torch.autograd.grad(out.square().sum(), edits.prompts)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize("family", ["GPT2LMHeadModel", "Gemma2ForCausalLM", "T5ForConditionalGeneration"])
@torch.no_grad()
def test_a_temperature_flattens_the_attention_that_is_watched(family: str) -> None:
    _, backbone = known(family)

    class Cold(Deep):
        def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
            edit = super().edit(backbone, i, context)
            return BlockEdit(edit.extra_kv, temperature=torch.tensor(1e6))

    seen: list[Tensor] = []
    backbone.watch = lambda role, weights: seen.append(weights)
    try:
        watched = backbone.run(batch(ROWS[:1]), Cold(backbone)).x
    finally:
        backbone.watch = None
    assert torch.allclose(watched, backbone.run(batch(ROWS[:1]), Cold(backbone)).x, atol=1e-5)
    assert len(seen) == 2
    last = seen[-1][0, :, -1]
    assert last.shape[-1] == 3 + len(ROWS[0])
    assert torch.allclose(last, torch.full_like(last, 1 / last.shape[-1]), atol=1e-3)


def test_the_callers_model_is_not_written_to() -> None:
    model = make_model("BertForMaskedLM")
    before, how = digest(model), model.config._attn_implementation
    backbone = wrap(model, tokenizer())
    backbone.private().run(batch(ROWS), Deep(backbone))
    assert (digest(model), model.config._attn_implementation) == (before, how)
    assert "forward" not in vars(model.bert.encoder.layer[0])
    assert backbone.private().fingerprint() == backbone.fingerprint()
    assert backbone.fingerprint() != wrap(make_model("BertForMaskedLM", 1), tokenizer()).fingerprint()


def test_content_streams_are_of_the_words_alone() -> None:
    _, backbone = known("AlbertForMaskedLM")
    offered: dict[int, tuple[Tensor, Any]] = {}
    texts = batch(ROWS)
    backbone.content_streams(texts, 2, lambda i, x, real: offered.update({i: (x, real)}))
    assert sorted(offered) == [0, 1]
    assert {x.shape[-1] for x, _ in offered.values()} == {backbone.width}
    own = known("AlbertForMaskedLM")[0].albert(texts.ids, texts.mask.long(), output_hidden_states=True)
    assert torch.allclose(offered[1][0], own.hidden_states[1], atol=1e-6)
    assert torch.equal(offered[1][1], texts.mask)


class Lengthened(Edits):
    def before(self, backbone: Backbone, i: int, tokens: Any, context: Context) -> Any:
        return insert(tokens, tokens.x[0, :1])


class Between(Edits):
    def edit(self, backbone: Backbone, i: int, context: Context) -> BlockEdit:
        return BlockEdit(between=lambda x: x)


def test_what_cannot_be_is_refused() -> None:
    for family in AT_THE_INPUT:
        backbone = known(family)[1]
        with pytest.raises(UserError, match=r"prompt-tuning"):
            backbone.keys_values(0, torch.zeros(1, backbone.width))
    backbone = known("BertForMaskedLM")[1]
    for edits, said in ((Lengthened(), r"keeps its length"), (Between(), r"use another method")):
        with pytest.raises(UserError, match=said):
            backbone.run(batch(ROWS), edits)
    with pytest.raises(UserError, match=r"leave --readout out"):
        backbone.readout(backbone.run(batch(ROWS), UNEDITED), "mae_average")
    headless = wrap(make_model("BertForMaskedLM").bert, tokenizer())
    tokens = headless.run(batch(ROWS), UNEDITED)
    with pytest.raises(UserError, match=r"no language-model head"):
        headless.readout(tokens, "words")
    small = make_model("BertForMaskedLM")
    small.resize_token_embeddings(20)
    with pytest.raises(UserError, match=r"give the model's own"):
        wrap(small, tokenizer())
    with pytest.raises(UserError, match=r"takes texts"):
        backbone.as_input(torch.zeros(1, 3, 8, 8), lambda x: x)


def test_texts_lose_the_padding_that_all_have() -> None:
    backbone = known("BertForMaskedLM")[1]
    assert backbone.as_input(take(batch(ROWS), slice(1, 3)), lambda x: x).ids.shape == (2, 5)


@torch.no_grad()
def test_rules_of_generation_read_words_alone() -> None:
    """Slots are no words: neither a penalty on repeated ones nor transformers' own object trips over them."""
    _, backbone = known("LlamaForCausalLM")
    edits, plain = among(backbone), generated(backbone, SLOTS, among(backbone))[0]
    settings = {"max_new_tokens": 3, "do_sample": False}
    made = backbone.generate(batch(SLOTS), edits, **settings, return_dict_in_generate=True, output_scores=True)
    assert made.sequences.tolist() == plain
    assert len(made.scores) == 3
    assert backbone.generate(batch(SLOTS), edits, **settings, repetition_penalty=1.3).shape == (3, 3)
    beams = backbone.generate(batch(SLOTS), edits, **settings, num_beams=2)
    alone = [backbone.generate(batch([row]), edits, **settings, num_beams=2)[0].tolist() for row in SLOTS]
    assert beams.tolist() == alone


@pytest.mark.parametrize("family", ["BertForMaskedLM", "LlamaForCausalLM", "T5ForConditionalGeneration"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_model_in_half_precision_is_computed_in_float32(family: str, dtype: torch.dtype) -> None:
    half = make_model(family).to(dtype)
    backbone = wrap(half, tokenizer(), family)
    expected = wrap(make_model(family).to(dtype).float(), tokenizer(), family)
    texts = batch(ROWS)
    assert torch.equal(backbone.run(texts, Deep(backbone)).x, expected.run(texts, Deep(expected)).x)
    assert next(half.parameters()).dtype == dtype


@torch.no_grad()
def test_an_encoder_that_is_wrapped_alone_is_prompted() -> None:
    import transformers

    config = make_model("T5ForConditionalGeneration").config.to_dict()
    model = transformers.T5EncoderModel(transformers.T5Config(**config)).eval()
    backbone, texts = wrap(model, tokenizer(), "T5EncoderModel"), batch(ROWS)
    own = model(input_ids=texts.ids, attention_mask=texts.mask.long())[0]
    assert torch.allclose(backbone.run(texts, UNEDITED).x[texts.mask], own[texts.mask], atol=1e-5)
    assert not torch.allclose(backbone.run(texts, Deep(backbone)).x[texts.mask], own[texts.mask], atol=1e-3)


def test_a_model_of_another_make_is_refused_in_one_sentence() -> None:
    import transformers

    config = transformers.BartConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        pad_token_id=0,
    )
    with pytest.raises(UserError, match="which cannot be prompted here") as refused:
        wrap(transformers.BartForCausalLM(config), tokenizer(), "bart")
    assert "\n" not in str(refused.value)


@torch.no_grad()
def test_the_second_text_of_a_pair_has_its_own_segment() -> None:
    """As the tokenizer says, of a model that was trained so; prompts change none of it."""
    from tokenizers.processors import TemplateProcessing

    words = copy.deepcopy(tokenizer())
    ends = [("<s>", words.bos_token_id), ("</s>", words.eos_token_id)]
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=ends
    )
    words.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    model = make_model("BertForMaskedLM")
    backbone = wrap(model, words, "bert")
    given = words("w1 w2 w3", "w4 w5", return_tensors="pt")
    assert given["token_type_ids"].tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    protocol = TextProtocol().read_by(backbone, None)
    view = protocol.view()
    text = move(view.collate([view.read(("w1 w2 w3", "w4 w5"))], 1), torch.device("cpu"))
    assert text.ids.tolist() == given["input_ids"].tolist()
    assert torch.allclose(backbone.run(text, UNEDITED).x, model.bert(**given)[0], atol=1e-5)
    del given["token_type_ids"]
    assert not torch.allclose(backbone.run(text, UNEDITED).x, model.bert(**given)[0], atol=1e-3)


def test_a_wrapped_model_is_found_again_by_where_it_came_from(tmp_path: Path) -> None:
    import transformers

    make_model("BertForMaskedLM").save_pretrained(tmp_path / "bert")
    tokenizer().save_pretrained(tmp_path / "bert")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "bert")
    made = sp.create_model(wrap(model, tokenizer()), "vpt", num_classes=2, num_prompts=2)
    made.initialize()
    made.save_pretrained(tmp_path / "adapter")
    assert torch.equal(sp.load(tmp_path / "adapter").prompts, made.prompts)


def test_a_linear_head_does_not_ask_for_words_that_a_vocabulary_lacks() -> None:
    _, backbone = known("BertForMaskedLM")
    fields = {"class_names": ["good", "xyzzy"], "num_prompts": 3}
    sp.create_model(backbone, "prompt-tuning", answers="linear", template="{soft:3} {text}", **fields).initialize()
    with pytest.raises(UserError, match="'xyzzy' is no token"):
        sp.create_model(backbone, "prompt-tuning", **fields)
