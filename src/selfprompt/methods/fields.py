"""The fields that methods share: their names, defaults and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from selfprompt.prompts.initialization import Kind
from selfprompt.rules import Confinement, Directions


class SharedFields(BaseModel):
    """Fields of every method.

    Args:
        head_norm: batch puts a BatchNorm without affine parameters before the linear head. A batch must then fit into
            memory, and into one process, as a whole.
        readout: What the head reads: backbone is the backbone's own feature; mae_average the final norm of the mean
            over patches and, where they have outputs in the last block, prompts (SPT's under MAE); fresh_average the
            same mean under a LayerNorm without scale and shift (VPT's under MAE). Left open, it is the paper's for
            the backbone's pretraining.
        template: A class's text where the backbone has a tower of texts; {} is its name. Several, with | between, are
            averaged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    head_norm: Literal["none", "batch"] = "none"
    readout: Literal["backbone", "mae_average", "fresh_average"] | None = None
    template: str = "a photo of a {}."


class PromptFields(SharedFields):
    """Fields of methods with prompts. Each is an answer that combines with every method.

    Args:
        num_prompts: Prompts of each block; left open, 20, with which SPT compares, or 100 for shallow ones.
        start: Start from an adapter's prompts (a run's folder, or an adapter of the hub), which are of the same
            backbone, shape and insertion, and from whatever else its insertion holds; it goes before any other start.
        prototypes: Start as prototypes of the task's own patch tokens, as SPT does; left open, as the method's paper
            starts.
        prototype_share: Share of the training images that prototypes are made from, at least one image.
        prompt_rms: Scale each layer's start to this root mean square.
        prompt_dropout: Dropout on each sample's copy of the prompts; keys and values are then made per sample.
        frozen_prompts: Train the head only, on prompts as they start.
        keep: Share of the prompts that condensation keeps after two thirds of the epochs; 1 keeps all.
        subspace: Train twice from the same start, the second time along the few directions in which the first
            training moved early (SubPT); late, and random ones without a first training, are its controls.
        subspace_rank: How many directions; left open, 10, or half as many as subspace_epochs if that is less.
        subspace_epochs: Epochs of the first training that directions are taken from; left open, a quarter of them.
        subspace_by: projection of the gradient, as published, which holds under sgd alone; or coordinates in the
            subspace are trained, under any optimizer. Left open, whichever the optimizer wants.
    """

    num_prompts: int | None = Field(default=None, ge=1)
    start: str | None = None
    prototypes: Kind | None = None
    prototype_share: float = Field(default=1.0, gt=0, le=1)
    prompt_rms: float | None = Field(default=None, gt=0, le=1e15)  # whose squares float32 adds up
    prompt_dropout: float = Field(default=0.0, ge=0, lt=1)
    frozen_prompts: bool = False
    keep: float = Field(default=1.0, gt=0, le=1)
    subspace: Directions | None = None
    subspace_rank: int | None = Field(default=None, ge=1)
    subspace_epochs: int | None = Field(default=None, ge=2)
    subspace_by: Confinement | None = None

    @field_validator("start")
    @classmethod
    def anywhere(cls, start: str | None) -> str | None:
        """A folder here, in a form that stands for it anywhere."""
        return str(Path(start).absolute()) if start is not None and Path(start).is_dir() else start


class TextFields(PromptFields):
    """Fields of methods for texts.

    Args:
        template: A class's text where the backbone has a tower of texts; {} is its name. Several, with | between, are
            averaged. Of methods for texts, what a text is filled into, such as "{soft} {mask} : {text}". In it
            {options} stands for the classes, each after a letter, with which it is then answered: "A. great B.
            terrible". Of classes that are named by letters themselves (as those of choice:CORPUS are) the options are
            further texts.
        answers: Words are label words where the template has its mask; linear is a linear head on the mean of the
            text's words.
        label_words: The words of each class, by its name, "pos=great|good, neg=terrible|bad", or in the order of the
            classes, which is that of their sorted names; left open, the classes' names.
        calibrate: Subtract from label words what a text that says nothing is answered with.
        instance: Shift the prompts of the first layer by what each text says, as IPT does: by a table of its words,
            or by a bottleneck on their mean.
    """

    answers: Literal["words", "linear"] = "words"
    label_words: dict[str, tuple[str, ...]] | tuple[tuple[str, ...], ...] | None = Field(
        default=None, union_mode="left_to_right"
    )
    calibrate: bool = False
    instance: Literal["table", "bottleneck"] | None = None

    @field_validator("label_words", mode="before")
    @classmethod
    def read_words(cls, value: Any) -> Any:
        """Words out of one string."""
        if isinstance(value, str) and all("=" in part for part in value.split(",")):
            named = (part.split("=", 1) for part in value.split(","))
            value = {name.strip(): words.split("|") for name, words in named}
            return {name: tuple(word.strip() for word in words) for name, words in value.items()}
        if isinstance(value, str):
            return tuple(tuple(word.strip() for word in words.split("|")) for words in value.split(","))
        if isinstance(value, dict):
            return {name: (words,) if isinstance(words, str) else words for name, words in value.items()}
        return value


class TokenFields(PromptFields):
    """Fields of methods with VPT's two insertions.

    Args:
        shallow: Prompts at the input only, 100 unless num_prompts says otherwise.
    """

    shallow: bool = False
