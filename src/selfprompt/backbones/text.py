"""Hugging Face's models of texts (extra ``text``): their own forward pass drives, and asks for edits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from selfprompt import registry
from selfprompt.backbones.asked import Asked, Caught, Run, Stopped, active, register
from selfprompt.backbones.base import UNEDITED, Backbone, Edits, KeysValues, Offer, Seen, Tokens, private_copy
from selfprompt.backbones.info import BackboneInfo, Readout
from selfprompt.backbones.precision import as_under_autocast
from selfprompt.backbones.probe import longest, probe
from selfprompt.backbones.vocabulary import Vocabulary
from selfprompt.errors import UserError, first_line
from selfprompt.hub import away
from selfprompt.inputs import Inputs, Text

PREFIX = "text:"
HEADED = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForPreTraining")


@dataclass(frozen=True)
class Stream(Tokens):
    """A stream of words.

    Args:
        real: (B, N) booleans, which are words of the text: neither padding nor prompts.
    """

    real: Tensor | None = None


class TextBackbone(Backbone):
    """An encoder, the encoder of an encoder-decoder, or a decoder, with its language-model head where it has one.

    The model is given ids, those below 0 where prompts stand, and computes its positions, masks and types from them
    as always. Deep prompts are keys and values that stand outside of all positions: no rotation, no relative bucket
    and no sliding window is applied to them, and text tokens stay where they are. An encoder-decoder's prompts are
    its encoder's; its decoder reads what that makes.

    Args:
        model: Of transformers; it stays as it is.
        vocabulary: Of its tokenizer.
        info: Where it comes from.

    Attributes:
        kind: What it is.
        word_width: Width of a word's embedding, which prompts among words have; some models have it narrower.
        deep: Whether prompts may stand at every block.
    """

    num_prefix, patch_size, fused_attention = 0, 0, True
    kind: Literal["encoder", "encoder-decoder", "decoder"]
    deep: bool

    def __init__(self, model: Any, vocabulary: Vocabulary, info: BackboneInfo) -> None:
        super().__init__()
        register()
        self.model, self.vocabulary, self.info = private_copy(model).float(), vocabulary, info
        self.requires_grad_(False).eval()
        config = self.model.config
        config.use_cache = False
        self.kind = "encoder-decoder" if config.is_encoder_decoder else "encoder"
        words = self.trunk.get_input_embeddings()
        self.num_patches, self.word_width = longest(self.trunk, config, vocabulary.tokenizer), words.weight.shape[1]
        words.forward = Asked(words, "words")
        for part in (self.trunk, getattr(self.trunk, "decoder", None)):  # OPT's head asks the latter
            if part is not None and part is not self.model:
                part.forward = Asked(part, "all")
        self._segments = False
        self._look()
        kinds = getattr(config, "type_vocab_size", 0) or 0
        self._segments = kinds > 1 and "token_type_ids" in signature(type(self.trunk).forward).parameters
        self.token_fan_in = self.width

    @property
    def trunk(self) -> Any:
        """The model without a head; of an encoder-decoder, or of what wraps an encoder alone, that."""
        if self.model.config.is_encoder_decoder:
            return self.model.get_encoder()
        encoder = getattr(self.model, "encoder", None)
        return encoder if hasattr(encoder, "get_input_embeddings") else self.model.base_model

    @property
    def head_width(self) -> int:
        return self._head_width

    @property
    def num_words(self) -> int:
        """Words V that a language-model head scores."""
        return self.model.get_output_embeddings().weight.shape[0]

    def content(self, inputs: Inputs) -> Tensor:
        """(B, L, D) word embeddings; of a slot for a prompt, that of word 0."""
        assert isinstance(inputs, Text)
        return self.trunk.get_input_embeddings()(inputs.ids.clamp(min=0))

    def vectors(self, ids: list[int]) -> Tensor:
        """Embeddings of words, (N, D), for prompts that start from some."""
        words = self.trunk.get_input_embeddings()
        return words(torch.tensor(ids, device=words.weight.device)).detach()

    def as_input(self, inputs: Inputs, prepare: Any) -> Inputs:
        """Texts without the padding that all have."""
        if not isinstance(inputs, Text):
            raise UserError(f"{self.info.name} takes texts: give strings to fit and predict, ids as `inputs.Text`.")
        length = int(inputs.mask.sum(dim=1).max())
        return Text(inputs.ids[:, :length], inputs.mask[:, :length], inputs.at)

    def content_streams(self, inputs: Inputs, layers: int, offer: Offer) -> None:
        assert isinstance(inputs, Text)
        real = inputs.mask & (inputs.ids >= 0)
        wide = self.word_width == self.width
        if wide:
            offer(0, self.content(inputs), real)

        def seen(i: int, before: Tokens, after: Tokens) -> None:
            if i == 0 and not wide:
                offer(0, before.x, real)
            if i < layers - 1:
                offer(i + 1, after.x, real)

        if layers > 1 or not wide:
            self.run(inputs, UNEDITED, seen, blocks=max(1, layers - 1))

    @as_under_autocast
    def run(
        self,
        inputs: Inputs,
        edits: Edits,
        seen: Seen | None = None,
        *,
        rows: Tensor | None = None,
        blocks: int | None = None,
        read: slice | None = None,
        checkpointing: bool = False,
    ) -> Tokens:
        assert isinstance(inputs, Text)
        run = Run(self, edits, inputs, seen, rows, blocks, checkpointing)
        try:
            with active(run):
                rest = self.vocabulary.segments(inputs.ids) if self._segments else {}
                x = self.trunk(input_ids=inputs.ids, attention_mask=inputs.mask.long(), **rest)[0]
        except Stopped as stopped:
            x = stopped.tokens.x
        assert run.context is not None
        real = inputs.mask & (inputs.ids >= 0)
        return edits.leave(Stream(x, 0, inputs.mask, inputs.at, real), run.context)

    @as_under_autocast
    def keys_values(self, i: int, prompts: Tensor, normalize: bool = True) -> KeysValues:
        """What block ``i`` makes of prompts, whose keys no rotation turns.

        Raises:
            UserError: Its attention takes no further keys.
        """
        if not self.deep or not normalize:
            lacks = "does not go through transformers' attention interface" if normalize else "normalises as it likes"
            raise UserError(f"{self.info.name} {lacks}: prompts may stand among its words alone (prompt-tuning).")
        if not prompts.shape[-2]:  # all are condensed away
            none = prompts.new_zeros(*prompts.shape[:-2], self.num_heads, 0, self.head_width)
            return none, none
        x = prompts if prompts.dim() == 3 else prompts[None]
        try:
            with active(Run(self, UNEDITED, catching=True)):
                self.calls[i].again(self.trunk, x)
        except Caught as caught:
            made = caught.keys, caught.values
            return made if prompts.dim() == 3 else (made[0][0], made[1][0])
        raise AssertionError

    @as_under_autocast
    def readout(self, tokens: Tokens, pool: Readout = "backbone") -> Tensor:
        """The mean of the text's words (B, D), or the scores (B, V) of all words where an answer stands."""
        if pool == "words":
            return self._words(tokens)
        if pool != "backbone":
            raise UserError(f"Texts of {self.info.name} are read as the mean of their words: leave --readout out.")
        assert isinstance(tokens, Stream)
        assert tokens.real is not None
        real = tokens.real[..., None]
        return (tokens.x * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def _words(self, tokens: Tokens) -> Tensor:
        """The model's own head where it is read."""
        assert tokens.at is not None
        if self.model.get_output_embeddings() is None:
            raise UserError(f"{self.info.name} has no language-model head: load it with one, or use a linear head.")
        if self.kind == "encoder-decoder":
            start = [self.model.config.decoder_start_token_id, self.vocabulary.sentinel][: int(tokens.at.max()) + 1]
            ids = torch.tensor(start, device=tokens.x.device).expand(len(tokens.x), -1)
            assert tokens.mask is not None
            scores = self.model(encoder_outputs=(tokens.x,), attention_mask=tokens.mask.long(), decoder_input_ids=ids)
        else:
            x = tokens.x[torch.arange(len(tokens.x), device=tokens.x.device), tokens.at][:, None]
            with active(Run(self, UNEDITED, answer=x)):
                scores = self.model(input_ids=torch.zeros_like(tokens.at)[:, None])
        return scores.logits[:, -1].float()

    def generate(self, inputs: Text, edits: Edits, **settings: Any) -> Any:
        """Ids (B, T) that the model's own `generate` adds to texts, or answers them with, as it is edited; in
        transformers' own object where the settings ask for one (``return_dict_in_generate``).

        Args:
            inputs: The texts.
            edits: The insertion.
            **settings: Of `generate`, such as ``max_new_tokens``.

        Raises:
            UserError: Its prompts are made of the text, which changes with every word.
        """
        if edits.reads_text:
            raise UserError("Prompts that read their text do not generate one: train some that all texts share.")
        ids, mask = inputs.ids, inputs.mask
        if self.kind == "decoder":  # texts end together
            order = mask.long().argsort(dim=1, stable=True)
            ids, mask = ids.gather(1, order), mask.gather(1, order)
        plain = ids.masked_fill(ids < 0, self.vocabulary.plain)
        with active(Run(self, edits, begun=ids)), torch.no_grad():
            made = self.model.generate(input_ids=plain, attention_mask=mask.long(), **settings)
        if self.kind != "decoder":
            return made
        if isinstance(made, Tensor):
            return made[:, ids.shape[1] :]
        made["sequences"] = made["sequences"][:, ids.shape[1] :]
        return made

    @torch.no_grad()
    def _look(self) -> None:
        """Find out what the model is, and let its blocks ask.

        Raises:
            UserError: The model's own output is another.
        """
        words = min(len(self.vocabulary), self.model.config.vocab_size)
        found = probe(self.model, self.trunk, words, self.vocabulary.pad)
        self.deep, self.calls, self.depth = found.deep, found.calls, len(found.calls)
        if self.kind == "encoder" and found.causal:
            self.kind = "decoder"
        for name in dict.fromkeys(call.block for call in found.calls):
            block = self.trunk.get_submodule(name)
            block.forward = Asked(block, "block")
        streams: list[Tensor] = []
        ours = self.run(found.texts, UNEDITED, lambda i, before, after: streams.append(before.x)).x
        self.num_heads, self.width = 1, streams[0].shape[-1]
        self._head_width = self.width
        if self.deep:
            keys, _ = self.keys_values(0, streams[0][0, :1])
            self.num_heads, self._head_width = keys.shape[0], keys.shape[2]
        own, real = found.states, found.texts.mask
        self.num_features = own.shape[-1]  # OPT's may be narrower than its blocks
        if streams[0].shape[:2] != real.shape or not (ours - own)[real].norm() <= 1e-3 * own[real].norm():
            raise UserError(f"{self.info.name} computes more than is known here: its states are not its own.")


def wrap(model: Any, tokenizer: Any, name: str | None = None) -> TextBackbone:
    """A model of transformers that the caller has, with its tokenizer; the model stays as it is.

    Args:
        model: With a language-model head, or without.
        tokenizer: Its own.
        name: What finds it again; left open, the name or folder that its weights came from.

    Raises:
        UserError: The tokenizer knows more words than the model or pads with another, or the model cannot be run as
            its own.
    """
    words = model.get_input_embeddings().weight.shape[0]
    architecture = type(model).__name__
    found_again = getattr(model.config, "name_or_path", "")
    name = str(name or (f"{PREFIX}{found_again}" if found_again else architecture))
    if len(tokenizer) > words:
        raise UserError(f"The tokenizer has {len(tokenizer)} words and {name} {words}: give the model's own.")
    try:
        found = TextBackbone(model, Vocabulary(tokenizer), BackboneInfo(name, architecture, "unknown", None))
    except (AssertionError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {first_line(error)[:120]}"
        raise UserError(f"{name} is a {architecture}, which cannot be prompted here ({why}).") from error
    own, given = getattr(model.config, "pad_token_id", None), tokenizer.pad_token_id
    if found.kind != "decoder" and None not in (own, given) and own != given:
        raise UserError(f"The tokenizer pads with the token {given} and {name} with {own}: give the model's own.")
    return found


@contextmanager
def without_bars(logging: Any) -> Iterator[None]:
    """Inside, transformers shows no progress, which takes a second at most."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_text(source: str) -> TextBackbone:
    """A model by ``text:NAME`` of the hub, or in a folder, with its tokenizer.

    Raises:
        UserError: transformers is not installed, or there is no such model.
    """
    if not registry.installed("transformers"):
        raise UserError("Models of texts need transformers: pip install 'selfprompt[text]'.")
    import transformers

    name = source.removeprefix(PREFIX)
    folder = Path(name).expanduser()
    if name.startswith((".", "/", "~")) and not folder.is_dir():
        raise UserError(f"There is no folder {name}: give one with a model of transformers and its tokenizer.")
    name = str(folder)
    if not folder.is_dir() and (why := away(name)):
        raise UserError(f"{source} could not be had from the hub ({why}): check the network, or give a folder.")
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        architecture = (config.architectures or [""])[0]
        kind: Any = transformers.AutoModel
        if architecture.endswith(HEADED):
            kind = getattr(transformers, architecture)
        with torch.random.fork_rng(devices=[]), without_bars(transformers.utils.logging):
            model = kind.from_pretrained(name, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    except Exception as error:  # whatever the hub or a file raises
        raise UserError(f"{source} cannot be loaded ({first_line(error)[:200]}).") from error
    return wrap(model, tokenizer, source)
