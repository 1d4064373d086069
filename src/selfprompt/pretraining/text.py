"""Training of a small masked language model on plain texts.

Devlin et al., "BERT" (arXiv 1810.04805): hidden words are told from those around. The model is ModernBERT (Warner et
al., arXiv 2412.13663), 30 % of whose words are hidden.

Differences, for few texts and one CPU core: the vocabulary is made from the texts; windows are short, full of whole
texts that do not see each other, as they are asked later; the share that is hidden varies between windows; the first
or last word of some texts is hidden whole, as templates ask for one there; a hidden token is never another's.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from selfprompt import registry
from selfprompt.errors import UserError
from selfprompt.files import in_order
from selfprompt.pretraining.config import TextConfig
from selfprompt.pretraining.folder import halves, write_folder
from selfprompt.pretraining.loop import OnStep, alone, run
from selfprompt.pretraining.masked_language import MaskedLanguageModel
from selfprompt.pretraining.texts import SPECIAL, Document, Texts, load_documents, make_tokenizer
from selfprompt.tuning.optimization import parameter_groups

MEASURED = 64
"""Batches on which the loss is measured."""
WEIGHTS, CONFIG, TOKENIZER, TOKENIZER_CONFIG = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def pretrain_text(
    data: str | Path,
    out: Path,
    config: TextConfig,
    on_step: OnStep | None = None,
    checkpoint_seconds: float = 60.0,
) -> dict[str, Any]:
    """Train a masked language model on the texts of ``data``, and write it as a folder in Hugging Face's format.

    A checkpoint ``OUT.partial`` is kept on the way; the same call resumes from it. ``text:OUT`` loads the model.

    Args:
        data: A file of texts, or a folder of such (see `selfprompt.pretraining.texts.load_documents`).
        out: The folder to write.
        config: Architecture and recipe.
        on_step: Called with (step, steps, loss) after every step.
        checkpoint_seconds: Least time between two checkpoints.

    Returns:
        The final loss (mean over the last hundredth of the steps), that on documents held out with its perplexity,
        documents and tokens in the corpus, steps, seconds.

    Raises:
        UserError: transformers is not installed; there are no texts; ``out`` is taken or cannot be written; the
            checkpoint is damaged or of other settings; or the loss became NaN or infinite.
    """
    if not registry.installed("transformers"):
        raise UserError("--kind text needs transformers: pip install 'selfprompt[text]'.")
    if out.exists():
        raise UserError(f"{out} is there already: choose another --out.")
    with alone(out) as engine:
        seen, unseen = split(load_documents(data), config.held_out)
        tokenizer = make_tokenizer(seen, config.vocabulary)
        texts = Texts(seen, tokenizer)
        torch.manual_seed(config.seed)
        network = MaskedLanguageModel(config, tokenizer.get_vocab_size())
        network.start_from(*texts.vectors(config.width, config.seed))
        partial = out.with_name(out.name + ".partial")

        def rates(name: str) -> tuple[float, float]:
            return config.word_lr if "tok_embeddings" in name else config.lr, config.weight_decay

        made = run(
            network,
            parameter_groups(network, rates),
            lambda: lambda step, generator: (texts.windows(config, generator).to(engine.device),),
            partial,
            config,
            engine,
            on_step,
            checkpoint_seconds,
            max_norm=1.0,
        )
        loss = measured(network, Texts(unseen, tokenizer), engine.device)
        corpus = {"corpus_documents": len(seen), "corpus_tokens": len(texts.ids)}
        summary = made | {"held_out_loss": loss, "held_out_perplexity": math.exp(loss)} | corpus
        write(out, network, tokenizer, summary)
        partial.unlink(missing_ok=True)
        return summary


def split(documents: list[Document], held_out: float) -> tuple[list[Document], list[Document]]:
    """Documents to train on, and those spread evenly among them to measure the loss on; one or more of each."""
    every = max(2, round(1 / held_out))
    return [one for i, one in enumerate(documents) if i % every], documents[::every]


@torch.no_grad()
def measured(network: MaskedLanguageModel, texts: Texts, device: torch.device) -> float:
    """The loss on texts, windows and what is hidden being the same each time."""
    generator = torch.Generator().manual_seed(0)
    losses = [network(texts.windows(network.config, generator).to(device)).item() for _ in range(MEASURED)]
    return sum(losses) / len(losses)


def write(out: Path, network: MaskedLanguageModel, tokenizer: Any, summary: dict[str, Any]) -> None:
    """The folder, whole or not at all.

    Raises:
        UserError: A weight is NaN or infinite, or the folder cannot be written.
    """
    model = network.model.cpu()
    shared = set(model._tied_weights_keys or ())
    weights = halves({k: v for k, v in model.state_dict().items() if k not in shared}, network.config.lr)
    header = {"pretraining": "text", "recipe": network.config.model_dump(mode="json"), **summary}
    described = model.config.to_dict() | {"architectures": [type(model).__name__], "dtype": "float16"}
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.config.max_position_embeddings}
    files = {
        CONFIG: json.dumps(described, indent=1),
        WEIGHTS: in_order(save(weights, metadata={"format": "pt", "selfprompt": json.dumps(header)})),
        TOKENIZER: tokenizer.to_str(),
        TOKENIZER_CONFIG: json.dumps(named | names, indent=1),
    }
    write_folder(out, files)
