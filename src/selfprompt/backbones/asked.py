"""Models of transformers while their own forward pass runs: their words, blocks and attention ask what is wanted.

Three places carry everything, and no family is written anew: the module of word embeddings, the blocks, and the
attention function, which transformers lets others register (`AttentionInterface`, which most families go through).
Outside of a `Run` every model computes as it always did.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from selfprompt.backbones.base import PLAIN, UNEDITED, BlockEdit, Context, Edits, Seen, Tokens
from selfprompt.errors import UserError
from selfprompt.inputs import Text

NAME = "selfprompt"
"""Of the attention function, as transformers knows it."""
_now = threading.local()


class Caught(Exception):
    """The keys and values (B, heads, N, d) of an attention, whose block goes no further."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values


class Stopped(Exception):
    """The stream after the last block that is wanted."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens


@dataclass
class Run:
    """What a forward pass is run for.

    Args:
        backbone: Whose it is; None while it is made.
        edits: The insertion.
        inputs: The texts; None where the model makes its own, as it does while it generates.
        seen, rows, blocks, checkpointing: Of `Backbone.run`.
        catching: Leave the first attention with its keys and values.
        answer: (B, N, D), what is handed out in the place of all blocks.
        begun: (B, L) ids that texts begin with while the model generates, of one or several for each; slots of
            prompts, which the model's own rules could not read, stand here alone.

    Attributes:
        calls: Blocks that were called since the words were read.
        edit: Of the block that is running; None outside of blocks.
        met: Attention modules in the order in which they were called.
    """

    backbone: Any
    edits: Edits
    inputs: Text | None = None
    seen: Seen | None = None
    rows: Tensor | None = None
    blocks: int | None = None
    checkpointing: bool = False
    catching: bool = False
    answer: Tensor | None = None
    begun: Tensor | None = None
    context: Context | None = None
    calls: int = 0
    edit: BlockEdit | None = None
    met: list[nn.Module] = field(default_factory=list)

    def words(self, ids: Tensor, embed: Callable[[Tensor], Tensor]) -> Tensor:
        """(B, L) ids, below 0 where prompts stand, to (B, L, D) words and prompts."""
        inputs = self.inputs
        cached = self.context is not None and self.begun is not None and ids.shape[1] <= self.begun.shape[1]
        if self.begun is not None and not cached:
            begun = self.begun.repeat_interleave(len(ids) // len(self.begun), dim=0)
            ids = torch.cat([begun, ids[:, begun.shape[1] :]], dim=1)
        if inputs is None:
            inputs = Text(ids, torch.ones_like(ids, dtype=torch.bool), torch.zeros_like(ids[:, 0]))
        content = embed(ids.clamp(min=0))
        self.context, self.calls = Context(inputs, content, self.rows), 0
        return self.edits.words(content, self.context)

    def block(self, x: Tensor, call: Callable[[Tensor], Any]) -> Any:
        """What a block makes of the stream, as it is edited."""
        if self.catching or self.context is None:
            return call(x)
        i, self.calls = self.calls, self.calls + 1
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(self._block, i, x, call, use_reentrant=False)
        return self._block(i, x, call)

    def _block(self, i: int, x: Tensor, call: Callable[[Tensor], Any]) -> Any:
        context = self.context
        assert context is not None
        mask, at = (context.inputs.mask, context.inputs.at) if isinstance(context.inputs, Text) else (None, None)
        tokens = Tokens(x, 0, mask, at)
        if i == self.blocks:
            raise Stopped(tokens)
        name = self.backbone.info.name
        before = self.edits.before(self.backbone, i, tokens, context)
        if before.x.shape != x.shape:
            raise UserError(f"The stream of {name} keeps its length: put prompts among its words, or at every block.")
        edit = self.edits.edit(self.backbone, i, context)
        if edit.asking is not None:
            raise UserError(f"Texts of {name} are read as the mean of their words: leave --readout out.")
        if edit.branch or edit.between:
            raise UserError(f"{name} runs its blocks itself and gives no insertion their inside: use another method.")
        with active(self), self._editing(edit):  # again, as a checkpoint calls this later, in another thread
            out = call(before.x)
        after = self.edits.after(i, before, Tokens(out[0] if isinstance(out, tuple) else out, 0, mask, at))
        if self.seen:
            self.seen(i, before, after)
        return (after.x, *out[1:]) if isinstance(out, tuple) else after.x

    @contextmanager
    def _editing(self, edit: BlockEdit) -> Iterator[None]:
        outer, self.edit = self.edit, edit
        try:
            yield
        finally:
            self.edit = outer


def running() -> Run | None:
    """What runs in this thread."""
    return getattr(_now, "run", None)


@contextmanager
def active(run: Run) -> Iterator[Run]:
    """Inside, the models of this thread ask for that run."""
    outer, _now.run = running(), run
    try:
        yield run
    finally:
        _now.run = outer


@contextmanager
def attention_modules(met: list[nn.Module]) -> Iterator[None]:
    """Inside, the list receives the modules whose attention goes through `attend`, one for each call."""
    run = Run(None, UNEDITED, edit=PLAIN, met=met)
    with active(run):
        yield


@dataclass
class Asked:
    """The forward of a module that asks; copies of the module have copies of it.

    Args:
        module: Word embeddings, a block, or all that stands before a language model's head.
        kind: Which.
    """

    module: Any
    kind: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        def own(*args: Any, **kwargs: Any) -> Any:
            return type(self.module).forward(self.module, *args, **kwargs)

        run = running()
        if self.kind == "words" and args:
            return own(args[0].clamp(min=0)) if run is None else run.words(args[0], own)
        if run is None:
            return own(*args, **kwargs)
        if self.kind == "all":
            return own(*args, **kwargs) if run.answer is None else handed(run.answer)
        if args:
            return run.block(args[0], lambda x: own(x, *args[1:], **kwargs))
        return run.block(kwargs["hidden_states"], lambda x: own(**{**kwargs, "hidden_states": x}))


def handed(x: Tensor) -> Any:
    """A stream as a model's blocks hand it to its head."""
    from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

    return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=x)  # type: ignore[arg-type]


def register() -> None:
    """Let transformers know the attention function, and the masks that it takes."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **rest: Any
) -> tuple[Tensor, Tensor | None]:
    """The attention of a block as it is edited: further keys and values first, a temperature.

    Args:
        module: The family's own attention.
        query, key, value: (B, heads, N, d), rotated and normalised already; keys may have fewer heads.
        attention_mask: (B, 1, N, M) booleans, or what is added to the scores; None where all is seen.
        **rest: What else the family tells its attention.
    """
    run = running()
    if run is None or (run.edit is None and not run.catching):
        return plain(module, query, key, value, attention_mask, None, **rest)
    run.met.append(module)
    if run.catching:
        raise Caught(key, value)
    edit = run.edit or PLAIN
    if edit.extra_kv is not None:
        more = [t.to(key.dtype).expand(len(key), *t.shape[-3:]) for t in edit.extra_kv]
        count = more[0].shape[-2]
        attention_mask = widened(attention_mask, query, key, sees_no_later(module, rest), count, edit.extra_mask)
        key, value = (torch.cat([new, own], dim=2) for new, own in zip(more, (key, value)))
        if rest.get("position_bias") is not None:
            rest["position_bias"] = F.pad(rest["position_bias"], (count, 0))
    if edit.temperature is not None:
        query = query / edit.temperature
        if rest.get("position_bias") is not None:
            rest["position_bias"] = rest["position_bias"] / edit.temperature
    watch = None if run.backbone is None else run.backbone.watch
    return plain(module, query, key, value, attention_mask, watch, **rest)


def plain(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, watch: Any, **rest: Any
) -> tuple[Tensor, Tensor | None]:
    """The fused attention; the family's own where scores are capped, there are sinks, or somebody watches."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if watch is None and rest.get("softcap") is None and rest.get("s_aux") is None:
        return sdpa_attention_forward(module, query, key, value, mask, **rest)
    if mask is None and sees_no_later(module, rest):
        mask = widened(None, query, key, True, 0, None)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros((), dtype=query.dtype, device=mask.device).where(mask, torch.finfo(query.dtype).min)
    out, weights = sys.modules[type(module).__module__].eager_attention_forward(
        module, query, key, value, mask, **rest
    )
    if watch is not None:
        watch("tokens", weights)
    return out, weights


def sees_no_later(module: Any, rest: dict[str, Any]) -> bool:
    """Whether an attention is causal where it has no mask."""
    given = rest.get("is_causal")
    return bool(getattr(module, "is_causal", True) if given is None else given)


def widened(
    mask: Tensor | None, query: Tensor, key: Tensor, causal: bool, count: int, extra: Tensor | None
) -> Tensor | None:
    """A mask of the tokens with ``count`` keys before them, which all see, or those of (B, P) ``extra``."""
    asking, given = query.shape[2], key.shape[2]
    if mask is None:
        if extra is None and (not causal or asking == 1):
            return None
        mask = torch.ones(1, 1, asking, given, dtype=torch.bool, device=key.device)
        mask = mask.tril(given - asking) if causal else mask
    if not count:
        return mask
    if extra is None:
        return F.pad(mask, (count, 0), value=True if mask.dtype == torch.bool else 0.0)
    shown = extra[:, None, None].expand(-1, mask.shape[1], asking, -1)
    if mask.dtype != torch.bool:
        shown = torch.zeros((), dtype=mask.dtype, device=mask.device).where(shown, torch.finfo(mask.dtype).min)
    return torch.cat([shown, mask.expand(len(extra), *mask.shape[1:])], dim=-1)
