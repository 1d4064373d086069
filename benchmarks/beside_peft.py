"""Prompts of language models beside PEFT's: time, memory and outputs where both are right, and where PEFT is not.

    python benchmarks/beside_peft.py --out benchmarks/results/beside-peft
    python benchmarks/beside_peft.py --size 100m --rounds 5 --out benchmarks/results/beside-peft-100m

BERT, T5 and Llama of random weights, float32; a step is a forward and a backward pass through the same texts (four of
different lengths, padded on the right), taken in turn. Memory is what autograd holds for the backward pass, weights
apart. What PEFT does otherwise is looked at on tiny models, and each row of it is measured here and now.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.clip import SLOT
from selfprompt.backbones.text import TextBackbone, wrap
from selfprompt.inputs import Text
from selfprompt.prompts.insertion.base import drawing
from selfprompt.prompts.insertion.past import Past
from selfprompt.prompts.insertion.words import AmongWords

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>", "<extra_id_0>"]
COUNT = 20
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"words": 100, "width": 32, "blocks": 2, "heads": 4, "length": 16},
    "100m": {"words": 20000, "width": 768, "blocks": 12, "heads": 12, "length": 96},
}


def make(kind: str, size: str) -> Any:
    """A model of transformers with random weights, in eval mode, every weight of it frozen."""
    s = SIZES[size]
    common = {
        **IDS,
        "vocab_size": s["words"],
        "hidden_size": s["width"],
        "num_hidden_layers": s["blocks"],
        "num_attention_heads": s["heads"],
        "intermediate_size": 4 * s["width"],
    }
    t5 = {
        **IDS,
        "vocab_size": s["words"],
        "d_model": s["width"],
        "d_kv": s["width"] // s["heads"],
        "d_ff": 4 * s["width"],
        "num_layers": s["blocks"] // 2,
        "num_heads": s["heads"],
        "decoder_start_token_id": 0,
    }
    gpt2 = {**IDS, "vocab_size": s["words"], "n_embd": s["width"], "n_layer": s["blocks"], "n_head": s["heads"]}
    distil = {"vocab_size": s["words"], "dim": s["width"], "n_layers": s["blocks"], "n_heads": s["heads"]}
    settings = {"Bert": common, "Llama": common, "T5": t5, "GPT2": gpt2, "DistilBert": distil}
    family = next(name for name in settings if kind.startswith(name))
    factory = getattr(transformers, kind)
    with drawing(0):
        return factory(factory.config_class(**settings[family])).eval().requires_grad_(False)


def vocabulary(size: int) -> Any:
    """A tokenizer of so many words between spaces."""
    names = SPECIAL + [f"w{i}" for i in range(size - len(SPECIAL))]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    known = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token", "mask_token"), SPECIAL))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, **known, additional_special_tokens=["<extra_id_0>"], model_max_length=512
    )


def texts(size: str) -> tuple[Tensor, Tensor]:
    """Ids and masks of four texts, padded on the right."""
    s = SIZES[size]
    with drawing(1):
        ids = torch.randint(len(SPECIAL), s["words"], (4, s["length"]))
    mask = torch.arange(s["length"]) < torch.tensor([[s["length"] - 2 * i] for i in range(4)])
    return ids * mask, mask


def with_slots(ids: Tensor, mask: Tensor) -> Text:
    """Texts behind slots for the prompts."""
    slots = (SLOT - torch.arange(COUNT)).expand(len(ids), -1)
    mask = torch.cat([torch.ones_like(slots, dtype=torch.bool), mask], dim=1)
    return Text(torch.cat([slots, ids], dim=1), mask, mask.sum(dim=1) - 1)


def wrapped(model: Any) -> TextBackbone:
    return wrap(model, vocabulary(model.config.vocab_size), type(model).__name__)


def adapted(model: Any, kind: str, task: str, values: Tensor | None = None) -> Any:
    """A model under PEFT, its prompts set."""
    config = {"prompt tuning": peft.PromptTuningConfig, "prefix": peft.PrefixTuningConfig}[kind]
    made = peft.get_peft_model(model, config(task_type=task, num_virtual_tokens=COUNT)).eval()
    rows = made.prompt_encoder["default"].embedding.weight
    with torch.no_grad(), drawing(2):
        rows.copy_(torch.randn_like(rows) if values is None else values)
    return made


Step = Callable[[], Tensor]
"""Outputs of the forward pass."""


def prompt_tuning(family: str, size: str) -> tuple[Step, Step, Tensor, Tensor, Any, Any]:
    """Prompts before the text: PEFT's outputs and ours, both prompts, and both models."""
    kind, task = {
        "BERT": ("BertModel", "FEATURE_EXTRACTION"),
        "T5": ("T5ForConditionalGeneration", "SEQ_2_SEQ_LM"),
        "Llama": ("LlamaForCausalLM", "CAUSAL_LM"),
    }[family]
    ids, mask = texts(size)
    given = with_slots(ids, mask)
    backbone = wrapped(make(kind, size))
    other = adapted(make(kind, size), "prompt tuning", task)
    theirs = other.prompt_encoder["default"].embedding.weight
    insertion = AmongWords(COUNT, backbone.word_width)
    insertion.prompts.data.copy_(theirs.detach()[:COUNT])
    start = torch.zeros(len(ids), 1, dtype=torch.long)
    last = torch.arange(len(ids)), given.at

    def peft_step() -> Tensor:
        if family == "T5":
            return other(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=start).logits[:, 0]
        out = other(input_ids=ids, attention_mask=mask.long())
        return out.last_hidden_state[:, COUNT:][mask] if family == "BERT" else out.logits[last]

    def own_step() -> Tensor:
        if family == "T5":
            return backbone.readout(backbone.run(given._replace(at=torch.zeros_like(given.at)), insertion), "words")
        run = backbone.run(given, insertion)
        return run.x[:, COUNT:][mask] if family == "BERT" else backbone.readout(run, "words")

    return peft_step, own_step, theirs, insertion.prompts, other, backbone


def prefix(family: str, size: str) -> tuple[Step, Step, Tensor, Tensor, Any, Any]:
    """Keys and values at every block, of Llama. A cache moves the text on by its length, so that a key of ours that
    is turned back by as much is the same key."""
    assert family == "Llama"
    ids, mask = texts(size)
    plain = make("LlamaForCausalLM", size)
    backbone, other = wrapped(make("LlamaForCausalLM", size)), adapted(plain, "prefix", "CAUSAL_LM")
    theirs = other.prompt_encoder["default"].embedding.weight
    heads, width = backbone.num_heads, backbone.head_width
    insertion = Past(backbone.depth, COUNT, heads=heads, head_width=width)
    pairs = theirs.detach().view(COUNT, backbone.depth, 2, heads, width).permute(1, 2, 0, 3, 4)  # blocks, 2, P, heads, d
    cos, sin = plain.model.rotary_emb(pairs, torch.tensor([[COUNT]]))
    keys = pairs[:, 0]
    half = torch.cat([-keys[..., width // 2 :], keys[..., : width // 2]], dim=-1)
    pairs = torch.stack([keys * cos[0, 0] - half * sin[0, 0], pairs[:, 1]], dim=2)  # blocks, P, 2, heads, d
    insertion.prompts.data.copy_(pairs.flatten(2))
    given = Text(ids, mask, mask.sum(dim=1) - 1)
    last = torch.arange(len(ids)), given.at

    def peft_step() -> Tensor:
        full = torch.cat([torch.ones(len(ids), COUNT, dtype=torch.bool), mask], dim=1).long()
        return other(input_ids=ids, attention_mask=full[:, COUNT:]).logits[last]

    def own_step() -> Tensor:
        return backbone.readout(backbone.run(given, insertion), "words")

    return peft_step, own_step, theirs, insertion.prompts, other, backbone


def held(step: Step, model: torch.nn.Module) -> int:
    """Bytes that autograd keeps for the backward pass, weights apart, each storage once."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        out = step()
    total = sum(seen.values())
    del out
    return total


def measure(method: str, family: str, size: str, rounds: int) -> dict[str, Any]:
    """Both of one method on one model, timed in turn."""
    build = prompt_tuning if method == "prompt tuning" else prefix
    peft_step, own_step, theirs, own, other, backbone = build(family, size)
    with torch.no_grad():
        a, b = peft_step(), own_step()
    times: dict[str, list[float]] = {"peft": [], "ours": []}
    for round_ in range(rounds + 1):
        for name, step, prompts in (("peft", peft_step, theirs), ("ours", own_step, own)):
            prompts.grad = None
            begun = time.process_time()
            step().square().sum().backward()
            if round_:
                times[name].append(time.process_time() - begun)
    return {
        "method": method,
        "model": f"{family}, {sum(p.numel() for p in backbone.parameters()) / 1e6:.3g} M",
        "seconds": {name: statistics.median(found) for name, found in times.items()},
        "ratio": statistics.median(x / y for x, y in zip(times["peft"], times["ours"])),
        "held_mib": {
            "peft": held(peft_step, other) / 2**20,
            "ours": held(own_step, torch.nn.ModuleList([backbone])) / 2**20,
        },
        "largest_output": float(a.abs().max()),
        "largest_difference": float((a - b).abs().max()),
    }


def attempt(call: Callable[[], str]) -> str:
    """What a call says, or how it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"


def classified(kind: str, method: str, **more: Any) -> str:
    """Whether a classifier under PEFT runs."""
    made = adapted(make(kind, "tiny"), method, "SEQ_CLS", **more)
    ids, mask = texts("tiny")
    made(input_ids=ids, attention_mask=mask.long(), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    return "runs"


def greedy(score: Callable[[Tensor], Tensor], ids: Tensor, steps: int = 4) -> list[int]:
    """The likeliest next words, each asked for anew."""
    made: list[int] = []
    for _ in range(steps):
        made.append(int(score(torch.cat([ids, torch.tensor([made], dtype=torch.long)], dim=1))[0].argmax()))
    return made


def generated(kind: str, method: str) -> str:
    """What `generate` of a decoder under PEFT makes, beside its own forward passes and the plain model."""
    model = make(kind, "tiny")
    made = adapted(model, method, "CAUSAL_LM")
    ids = texts("tiny")[0][:1, :9]
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
    with torch.no_grad():
        got = made.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[0, -4:].tolist()
        steps = greedy(lambda x: made(input_ids=x, attention_mask=torch.ones_like(x)).logits[:, -1], ids)
        with made.disable_adapter():
            plain = greedy(lambda x: model(input_ids=x).logits[:, -1], ids)
    return said(got, steps, plain)


def said(got: list[int], steps: list[int], plain: list[int]) -> str:
    """Which of both the generated words are."""
    if got == steps:
        return "as step by step" + (", which the prompts do not change here" if got == plain else "")
    return "as the plain model: the prompts are ignored" if got == plain else "neither as step by step nor as plain"


def generated_here(kind: str, method: str) -> str:
    """The same here."""
    backbone = wrapped(make(kind, "tiny"))
    ids = texts("tiny")[0][:1, :9]
    heads = {"heads": backbone.num_heads, "head_width": backbone.head_width}
    among = method == "prompt tuning"
    edits = AmongWords(COUNT, backbone.word_width) if among else Past(backbone.depth, COUNT, **heads)
    with drawing(2):
        edits.prompts.data.normal_()

    def given(ids: Tensor) -> Text:
        mask = torch.ones_like(ids, dtype=torch.bool)
        return with_slots(ids, mask) if among else Text(ids, mask, mask.sum(dim=1) - 1)

    with torch.no_grad():
        settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
        got = backbone.generate(given(ids), edits, **settings)[0, -4:].tolist()
        steps = greedy(lambda x: backbone.readout(backbone.run(given(x), edits), "words"), ids)
        plain = greedy(lambda x: backbone.model(input_ids=x).logits[:, -1], ids)
    return said(got, steps, plain)


def of_t5(method: str) -> str:
    """What `generate` of T5 under PEFT makes."""
    model = make("T5ForConditionalGeneration", "tiny")
    made = adapted(model, method, "SEQ_2_SEQ_LM")
    ids, mask = texts("tiny")
    settings = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
    with torch.no_grad():
        got = made.generate(input_ids=ids, attention_mask=mask.long(), **settings)
        with made.disable_adapter():
            plain = model.generate(input_ids=ids, attention_mask=mask.long(), **settings)
    return "as the plain model: the prompts are ignored" if torch.equal(got, plain) else "other than the plain model"


def of_t5_here() -> str:
    backbone = wrapped(make("T5ForConditionalGeneration", "tiny"))
    edits = Past(backbone.depth, COUNT, heads=backbone.num_heads, head_width=backbone.head_width)
    with drawing(2):
        edits.prompts.data.normal_()
    ids, mask = texts("tiny")
    given, settings = Text(ids, mask, 0 * ids[:, 0]), {"max_new_tokens": 4, "do_sample": False, "eos_token_id": -1}
    with torch.no_grad():
        got, plain = (backbone.generate(given, which, **settings) for which in (edits, UNEDITED))
    return "as the plain model: the prompts are ignored" if torch.equal(got, plain) else "other than the plain model"


def pooled() -> str:
    """What BERT's classifier reads."""
    base = make("BertForSequenceClassification", "tiny")
    made = adapted(base, "prompt tuning", "SEQ_CLS")
    seen: list[Tensor] = []
    base.bert.embeddings.register_forward_hook(lambda module, args, out: seen.append(out))
    ids, mask = texts("tiny")
    base.bert.pooler.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    made(input_ids=ids, attention_mask=mask.long())
    return f"position 0 of {seen[1].shape[1]}: the first prompt; the text begins at {COUNT}"


def padded() -> str:
    """What padding alone does to a decoder that classifies."""
    made = adapted(make("LlamaForSequenceClassification", "tiny"), "prompt tuning", "SEQ_CLS")
    ids = texts("tiny")[0][:1, :6]
    wide = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    with torch.no_grad():
        a = made(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        b = made(input_ids=wide, attention_mask=(wide > 0).long()).logits
    return f"logits of up to {a.abs().max():.2g} change by {(a - b).abs().max():.2g}"


def padded_here() -> str:
    backbone = wrapped(make("LlamaForCausalLM", "tiny"))
    edits = AmongWords(COUNT, backbone.word_width)
    with drawing(2):
        edits.prompts.data.normal_()
    ids = texts("tiny")[0][:1, :6]
    wide = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    with torch.no_grad():
        a, b = (backbone.readout(backbone.run(with_slots(x, x > 0), edits)) for x in (ids, wide))
    return f"states of up to {a.abs().max():.2g} change by {(a - b).abs().max():.2g}"


def dead() -> str:
    """Rows of T5's prompts that are trained, and those that a gradient reaches."""
    made = adapted(make("T5ForConditionalGeneration", "tiny"), "prompt tuning", "SEQ_2_SEQ_LM")
    ids, mask = texts("tiny")
    made(input_ids=ids, attention_mask=mask.long(), labels=ids[:, :4]).loss.backward()
    gradient = made.prompt_encoder["default"].embedding.weight.grad
    return f"{len(gradient)} rows are trained, {int((gradient != 0).any(dim=1).sum())} used"


def checkpointed() -> str:
    """Prefixes where checkpointing is switched on afterwards."""
    made = adapted(make("LlamaForCausalLM", "tiny"), "prefix", "CAUSAL_LM").train()
    ids, mask = texts("tiny")
    given = {"input_ids": ids, "attention_mask": mask.long(), "labels": ids}
    before = made(**given).loss
    made.base_model.gradient_checkpointing_enable()
    after = made(**given).loss
    return "as without" if torch.allclose(before, after) else f"the loss is {after:.3f}, not {before:.3f}"


def checkpointed_here() -> str:
    backbone = wrapped(make("LlamaForCausalLM", "tiny"))
    edits = Past(backbone.depth, COUNT, heads=backbone.num_heads, head_width=backbone.head_width)
    ids, mask = texts("tiny")
    given = Text(ids, mask, mask.sum(dim=1) - 1)
    a, b = (backbone.run(given, edits, checkpointing=on).x for on in (False, True))
    return "as without" if torch.equal(a, b) else "other than without"


def deep_here(kind: str) -> str:
    backbone = wrapped(make(kind, "tiny"))
    edits = Past(backbone.depth, COUNT, heads=backbone.num_heads, head_width=backbone.head_width)
    ids, mask = texts("tiny")
    backbone.readout(backbone.run(Text(ids, mask, mask.sum(dim=1) - 1), edits)).sum().backward()
    return "runs"


def cases() -> list[dict[str, str]]:
    """What PEFT does, and what is done here: each a sentence, found out now."""
    no_task = "MASKED_LM" not in {t.value for t in peft.TaskType}
    listed: list[tuple[str, Callable[[], str], Callable[[], str]]] = [
        (
            "prefix, BERT classifier",
            lambda: classified("BertForSequenceClassification", "prefix"),
            lambda: deep_here("BertForMaskedLM"),
        ),
        (
            "prefix, DistilBERT classifier",
            lambda: classified("DistilBertForSequenceClassification", "prefix"),
            lambda: deep_here("DistilBertForMaskedLM"),
        ),
        (
            "prefix, Llama, generate",
            lambda: generated("LlamaForCausalLM", "prefix"),
            lambda: generated_here("LlamaForCausalLM", "prefix"),
        ),
        (
            "prefix, GPT-2, generate",
            lambda: generated("GPT2LMHeadModel", "prefix"),
            lambda: generated_here("GPT2LMHeadModel", "prefix"),
        ),
        ("prefix, T5, generate", lambda: of_t5("prefix"), of_t5_here),
        (
            "prompt tuning, GPT-2, generate",
            lambda: generated("GPT2LMHeadModel", "prompt tuning"),
            lambda: generated_here("GPT2LMHeadModel", "prompt tuning"),
        ),
        (
            "prompt tuning, Llama, generate",
            lambda: generated("LlamaForCausalLM", "prompt tuning"),
            lambda: generated_here("LlamaForCausalLM", "prompt tuning"),
        ),
        ("prompt tuning, BERT classifier reads", pooled, lambda: "the mean of the text's words, or the mask"),
        ("prompt tuning, Llama classifier, padding on the right", padded, padded_here),
        ("prompt tuning, T5, of P = 20", dead, lambda: "20 rows are trained, 20 used"),
        ("prefix, Llama, checkpointing switched on later", checkpointed, checkpointed_here),
        (
            "label words of a masked language model",
            lambda: "no such task" if no_task else "there is a task",
            lambda: "label words",
        ),
    ]
    return [{"case": name, "peft": attempt(theirs), "here": attempt(ours)} for name, theirs, ours in listed]


def render(found: dict[str, Any]) -> str:
    """Both tables in Markdown."""
    lines = [
        "| method, model | step, PEFT | here | PEFT / here | held, PEFT | here | largest difference of outputs (of) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        seconds, memory = row["seconds"], row["held_mib"]
        lines.append(
            f"| {row['method']}, {row['model']} | {1e3 * seconds['peft']:.1f} ms | {1e3 * seconds['ours']:.1f} ms "
            f"| {row['ratio']:.2f} | {memory['peft']:.3g} MiB | {memory['ours']:.3g} MiB "
            f"| {row['largest_difference']:.1e} ({row['largest_output']:.2g}) |"
        )
    lines += ["", "| case | PEFT | here |", "|---|---|---|"]
    lines += [f"| {row['case']} | {row['peft']} | {row['here']} |" for row in found["cases"]]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([*lines, "", f"{found['size']}, {found['rounds']} rounds, {found['machine']}, {versions}", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="written with .json and .md behind it")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    pairs = [("prompt tuning", "BERT"), ("prompt tuning", "T5"), ("prompt tuning", "Llama"), ("prefix", "Llama")]
    found = {
        "size": args.size,
        "rounds": args.rounds,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {m.__name__: m.__version__.partition("+")[0] for m in (torch, transformers, peft)},
        "rows": [measure(method, family, args.size, args.rounds) for method, family in pairs],
        "cases": cases(),
    }
    print(render(found))
    if args.out:
        args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        args.out.with_suffix(".md").write_text(render(found), encoding="utf-8")


if __name__ == "__main__":
    main()
