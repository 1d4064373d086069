"""Tiny random language models of many families, made from configurations of transformers, and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from selfprompt.backbones.text import TextBackbone, wrap
from selfprompt.inputs import Text

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>", "<extra_id_0>"]
WORDS = ["good", "bad", "fine", "poor", ":", ".", *(f"w{i}" for i in range(28))]
SIZE = len(SPECIAL) + len(WORDS)

IDS = {"vocab_size": SIZE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT = {
    **IDS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
LLAMA = {**BERT, "num_key_value_heads": 1, "head_dim": 8}
GPT2 = {**IDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
DISTIL = {**IDS, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 40}
OPT = {**BERT, "ffn_dim": 24, "word_embed_proj_dim": 12}
T5 = {**IDS, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
BART = {
    **IDS,
    "d_model": 16,
    **{f"{part}_layers": 2 for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": 24 for part in ("encoder", "decoder")},
    "max_position_embeddings": 40,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}
WINDOW = {**LLAMA, "sliding_window": 4}
MODERN = {**BERT, "global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 1, "sep_token_id": 2}
NEO = {
    **IDS,
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "attention_types": [[["global", "local"], 1]],
    "max_position_embeddings": 40,
    "window_size": 4,
}

DEEP: dict[str, dict[str, Any]] = {
    "BertForMaskedLM": BERT,
    "RobertaForMaskedLM": BERT,
    "ElectraForMaskedLM": {**BERT, "embedding_size": 12},
    "ModernBertForMaskedLM": MODERN,
    "DistilBertForMaskedLM": DISTIL,
    "AlbertForMaskedLM": {**BERT, "embedding_size": 12},
    "GPT2LMHeadModel": GPT2,
    "OPTForCausalLM": OPT,
    "GPTNeoXForCausalLM": BERT,
    "LlamaForCausalLM": LLAMA,
    "Qwen3ForCausalLM": LLAMA,
    "MistralForCausalLM": WINDOW,
    "Gemma2ForCausalLM": WINDOW,
    "Gemma3ForCausalLM": WINDOW,
    "Phi3ForCausalLM": {**BERT, "num_key_value_heads": 1},
    "T5ForConditionalGeneration": T5,
    "BartForConditionalGeneration": BART,
}
"""Families whose attention takes further keys and values."""
AT_THE_INPUT: dict[str, dict[str, Any]] = {
    "DebertaV2ForMaskedLM": {**BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "MPNetForMaskedLM": BERT,
    "BloomForCausalLM": {**IDS, "hidden_size": 16, "n_layer": 2, "n_head": 2},
    "FalconForCausalLM": {**BERT, "alibi": False},
    "GPTNeoForCausalLM": NEO,
}
"""Families that compute attention in a way of their own."""
FAMILIES = DEEP | AT_THE_INPUT


@lru_cache
def tokenizer() -> Any:
    """Words between spaces, no start and no end."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token", "mask_token"), SPECIAL))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, **names, additional_special_tokens=["<extra_id_0>"], model_max_length=40
    )


def make_model(family: str, seed: int = 0) -> Any:
    """A random model whose every weight differs from its default, so that no term is lost in zeros or ones."""
    kind = getattr(transformers, family)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(kind.config_class(**FAMILIES[family])).eval()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    if kind.can_generate():
        model.generation_config.eos_token_id = None  # it goes on
    return model


@lru_cache
def known(family: str) -> tuple[Any, TextBackbone]:
    """A model that nobody writes to, and the backbone that it makes."""
    model = make_model(family)
    return model, wrap(model, tokenizer(), family)


def batch(rows: Iterable[list[int]]) -> Text:
    """Texts, padded on the right, read at their last token."""
    rows = list(rows)
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), True
    return Text(ids, mask, mask.sum(dim=1) - 1)
