"""Models of random weights, plain, here and under PEFT, for `beside_peft.py` and `peft_cases.py`."""

from __future__ import annotations

from typing import Any

import peft
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

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
        model = factory(factory.config_class(**settings[family])).eval().requires_grad_(False)
        for weight in model.parameters() if size == "tiny" else ():
            weight += 0.1 * torch.randn_like(weight)  # so that prompts and positions move what it says
    return model


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


def drawn(backbone: TextBackbone, method: str) -> AmongWords | Past:
    """Random prompts of a method."""
    heads = {"heads": backbone.num_heads, "head_width": backbone.head_width}
    among = method == "prompt tuning"
    edits = AmongWords(COUNT, backbone.word_width) if among else Past(backbone.depth, COUNT, **heads)
    with torch.no_grad(), drawing(2):
        edits.prompts.normal_()
    return edits
