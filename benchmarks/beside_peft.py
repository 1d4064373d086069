"""Prompts of language models beside PEFT's: time, memory and outputs where both are right, and where PEFT is not.

    python benchmarks/beside_peft.py --out benchmarks/results/beside-peft
    python benchmarks/beside_peft.py --size 100m --rounds 5 --out benchmarks/results/beside-peft-100m

BERT, T5 and Llama of random weights, float32; a step is a forward and a backward pass through the same texts (four of
different lengths, padded on the right), taken in turn, in CPU time. Memory is what autograd holds for the backward
pass, weights apart. What PEFT does otherwise is looked at on tiny models (peft_cases.py).
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
from torch import Tensor

from peft_cases import cases
from peft_models import COUNT, SIZES, adapted, make, texts, with_slots, wrapped
from selfprompt.inputs import Text
from selfprompt.prompts.insertion.past import Past
from selfprompt.prompts.insertion.words import AmongWords

Step = Callable[..., Tensor]


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
    pairs = theirs.detach().view(COUNT, backbone.depth, 2, heads, width).permute(1, 2, 0, 3, 4)
    cos, sin = plain.model.rotary_emb(pairs, torch.tensor([[COUNT]]))
    keys = pairs[:, 0]
    half = torch.cat([-keys[..., width // 2 :], keys[..., : width // 2]], dim=-1)
    pairs = torch.stack([keys * cos[0, 0] - half * sin[0, 0], pairs[:, 1]], dim=2)  # blocks, P, 2, heads, d
    insertion.prompts.data.copy_(pairs.flatten(2))
    given = Text(ids, mask, mask.sum(dim=1) - 1)
    last = torch.arange(len(ids)), given.at

    def peft_step() -> Tensor:
        return other(input_ids=ids, attention_mask=mask.long()).logits[last]

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


def render(found: dict[str, Any]) -> str:
    """Both tables in Markdown."""
    lines = [
        "| method, model | step, PEFT | here | PEFT / here | held, PEFT | here | outputs differ by (of) |",
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
    warnings.filterwarnings("ignore")
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
