"""A method, as its paper's file describes it: its answers to the six questions, and its published recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from torch import nn

from selfprompt.backbones.base import Backbone
from selfprompt.backbones.info import Pretraining, Readout
from selfprompt.errors import UserError
from selfprompt.marks import optional
from selfprompt.methods.fields import PromptFields, SharedFields, TokenFields
from selfprompt.methods.recipe import HEAD_RATES, Grid, Recipe
from selfprompt.methods.stages import Again, Stage
from selfprompt.objectives.base import Penalty
from selfprompt.prompts.condensation.base import Condensation
from selfprompt.prompts.condensation.saliency import Saliency
from selfprompt.prompts.initialization.base import Initialization
from selfprompt.prompts.initialization.gaussian import Gaussian
from selfprompt.prompts.initialization.prototypes import Prototypes
from selfprompt.prompts.initialization.rescaled import Rescaled
from selfprompt.prompts.insertion.base import Insertion
from selfprompt.prompts.insertion.deep import Deep
from selfprompt.prompts.insertion.none import NoPrompts
from selfprompt.prompts.insertion.shallow import Shallow
from selfprompt.prompts.parametrization.base import Parametrization
from selfprompt.rules.subspace import Subspace

Role = Literal["inputs", "classes"]
"""Which tower: that of what is classified, or that of the classes' texts, where there is one."""

Trainable = Literal["prompts", "head", "backbone"]
"""What is trained besides the head: all that the insertion owns, nothing, or weights of the backbone."""


class Method(SharedFields, ABC):
    """A frozen description: its fields are a method's hyper-parameters. It holds no tensors, and knows no model.

    Attributes:
        name: The name by which users ask for it.
        grid: The learning rates and weight decays that the paper searches, if it publishes them.
        rates: Learning rates by the settings that they belong to: at those of an embedded example (``embedded``;
            ``embedded-clip`` for prompts among words) and of ``mini-clip``, searches on validation images ended, of
            mnist5k; at ``mini``'s and ``mini-text``'s, searches of these benchmarks begin. Elsewhere the recipe's
            rate is taken.
        prompted: The towers that it has something in.
        packaged: The backbone that it is run on where none is given.
        texts: Whether it is for texts alone.
    """

    name: ClassVar[str]
    grid: ClassVar[Grid | None] = None
    rates: ClassVar[Mapping[str, float]] = {}
    prompted: ClassVar[frozenset[Role]] = frozenset({"inputs"})
    packaged: ClassVar[str] = "builtin"
    texts: ClassVar[bool] = False

    @optional
    def part(self, role: Role) -> Method | None:
        """The method that has something in a tower; None leaves it as it is."""
        return self if role in self.prompted else None

    @optional
    def head(self) -> Literal["linear", "class_text", "label_words"] | None:
        """What turns features into scores; left open, the classes' texts where the backbone has a tower for them."""
        return None

    @optional
    def patterns(self) -> tuple[str, ...]:
        """How a class's name becomes a text (see `ClassText`)."""
        return tuple(self.template.split("|"))

    @optional
    def text_template(self) -> str | None:
        """What a text is filled into (see `Template`); None leaves it to the protocol."""
        return None

    @optional
    def for_names(self, names: Sequence[str], further: Sequence[str] = ()) -> Method:
        """The same, with what it leaves to the names of the classes, and of further ones that are not trained on.

        Raises:
            UserError: It is of other classes.
        """
        return self

    @abstractmethod
    def insertion(self, backbone: Backbone) -> Insertion:
        """How its prompts meet the tokens."""

    @optional
    def text_insertion(self, backbone: Backbone, classes: int) -> Insertion:
        """How its prompts meet the words of the classes' texts: as the tokens of an input."""
        return self.insertion(backbone)

    @abstractmethod
    def initialization(self) -> Initialization | None:
        """Where its prompts start; None without prompts."""

    @abstractmethod
    def condensation(self) -> Condensation | None:
        """Which of its prompts are kept after training; None keeps all."""

    @abstractmethod
    def trainable(self) -> Trainable:
        """What is trained besides the head."""

    @optional
    def trains(self, layer: nn.Module, name: str) -> bool:
        """Whether a weight of the backbone is trained, by the layer that holds it and its name in the backbone."""
        return False

    @abstractmethod
    def recipe(self, pretraining: Pretraining) -> Recipe:
        """Its published recipe for a kind of pretraining."""

    @optional
    def few_shot(self, shots: int) -> dict[str, Any]:
        """What its published recipe changes where so many images of each class are trained on."""
        return {}

    def recipe_with(self, pretraining: Pretraining, changes: dict[str, Any]) -> Recipe:
        """The published recipe with a user's changes.

        Where the paper's rate is a base rate times batch / 256, another batch changes the rate, unless the changes
        name one.
        """
        own = self.recipe(pretraining)
        if self.grid and self.grid.base and changes.get("batch_size") and "lr" not in changes:
            changes = {**changes, "lr": own.lr * changes["batch_size"] / own.batch_size}
        if own.min_lr == own.lr and "lr" in changes:  # a rate that is constant stays so
            changes = {"min_lr": changes["lr"], **changes}
        return Recipe(**(own.model_dump() | changes))

    def searched_from(self, settings: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """A recipe's changes with the rate that a search under some settings begins with, where they give none.

        It is one of `rates`, or, where the head alone is trained, of a head's; there a ``head_lr`` is the rate.
        """
        head = self.trainable() == "head"
        rates = HEAD_RATES if head else self.rates
        recipe = ({"lr": rates[settings]} if settings and settings in rates else {}) | dict(given)
        if head and "head_lr" in recipe:
            recipe["lr"] = recipe.pop("head_lr")
        return recipe

    @optional
    def published_readout(self, pretraining: Pretraining) -> Readout:
        """What the head reads in the paper: by default what VPT's code does, with which the baselines are measured.

        Under MAE that is the mean over all tokens but the class token, and a fresh norm in the place of the
        pretrained one.
        """
        return "fresh_average" if pretraining == "mae" else "backbone"

    @optional
    def head_std(self, pretraining: Pretraining) -> float:
        """Deviation of the head's start."""
        return 0.02

    @optional
    def open_fields(self) -> dict[str, Any]:
        """Values of fields that were left open."""
        return {}

    def settled(self, pretraining: Pretraining) -> Method:
        """The same method, with what was left open as published for a kind of pretraining."""
        readout = self.readout or self.published_readout(pretraining)
        return self.model_copy(update={"readout": readout, **self.open_fields()})

    @optional
    def penalties(self) -> tuple[Penalty, ...]:
        """Terms of the loss that need no batch."""
        return ()

    @optional
    def within(self, recipe: Recipe) -> Subspace | None:
        """The subspace in which it trains, the second time; None trains once, in the whole space."""
        return None

    @optional
    def stages(self, recipe: Recipe) -> tuple[Stage, ...]:
        """The stages of a fit under a recipe."""
        whole = partial(Stage, penalties=self.penalties())
        condensation, subspace = self.condensation(), self.within(recipe)
        if condensation is not None:
            share = condensation.share(recipe.epochs)
            first, last = (recipe.model_copy(update={"epochs": epochs}) for epochs in share)
            return whole(first, then=condensation), whole(last)
        if subspace is None:
            return (whole(recipe),)
        last = whole(recipe, rule=subspace)
        if subspace.directions == "random":
            return (last,)
        until = subspace.epochs if subspace.directions == "early" else recipe.epochs
        return whole(recipe.model_copy(update={"patience": None}), until=until, then=Again()), last

    @optional
    def first_data(self) -> str | None:
        """The packaged data that its prompts are trained on first, where nothing else is asked for."""
        return None

    @optional
    def trained_first(self) -> Method:
        """The same, as it trains on other data the prompts that it starts from."""
        return self

    @optional
    def rehearsed(self) -> Method:
        """The same, for a training of few examples and epochs whose steps take as long."""
        return self

    @property
    def averages(self) -> bool:
        """Whether the readout is a mean, in which the prompts' outputs take part."""
        return self.readout not in (None, "backbone")

    def describe(self) -> dict[str, Any]:
        """Name and fields, as adapter_config.json keeps them."""
        return {"name": self.name, **self.model_dump(mode="json")}


class PromptMethod(Method, PromptFields, ABC):
    """A method with prompts.

    Attributes:
        paper_start: The paper's own start, which ``prototypes`` or ``start`` takes the place of.
    """

    paper_start: ClassVar[Initialization]

    @property
    @optional
    def count(self) -> int:
        """Prompts of each block."""
        return self.num_prompts or 20

    def open_fields(self) -> dict[str, Any]:
        return {"num_prompts": self.count}

    @optional
    def own_start(self) -> Initialization:
        """The paper's own start."""
        return self.paper_start

    @optional
    def initialization(self) -> Initialization:
        kind = self.prototypes
        start = self.own_start() if kind is None else Gaussian() if kind == "gaussian" else Prototypes(kind)
        return self.rescaled(start)

    def rescaled(self, start: Initialization) -> Initialization:
        """A start, brought to the scale that is asked for."""
        return start if self.prompt_rms is None else Rescaled(start, self.prompt_rms)

    @optional
    def pruning(self) -> Condensation | None:
        """A paper's own way to choose which prompts are kept."""
        return None

    def within(self, recipe: Recipe) -> Subspace | None:
        if self.subspace is None:
            return None
        epochs = self.subspace_epochs or max(2, recipe.epochs // 4)
        rank = self.subspace_rank or max(1, min(10, epochs // 2))
        if self.frozen_prompts or self.condensation():
            odd = "frozen prompts" if self.frozen_prompts else "prompts that are condensed"
            raise UserError(f"There is no training in a subspace (--subspace) of {odd}: leave one of both out.")
        sgd = recipe.optimizer == "sgd"
        if self.subspace_by == "projection" and not sgd:
            raise UserError(
                f"A projected gradient stays in its subspace under sgd, and not under {recipe.optimizer}: use "
                f"--optimizer sgd, or --subspace-by coordinates."
            )
        if self.subspace != "random" and not rank < epochs <= recipe.epochs:
            raise UserError(
                f"{rank} directions cannot be taken from {epochs} of {recipe.epochs} epochs: use --subspace-rank "
                f"below --subspace-epochs, and that no more than --epochs."
            )
        return Subspace(self.subspace, rank, epochs, self.subspace_by or ("projection" if sgd else "coordinates"))

    def condensation(self) -> Condensation | None:
        return self.pruning() or (Saliency(self.keep) if self.keep < 1 else None)

    def trainable(self) -> Trainable:
        return "head" if self.frozen_prompts else "prompts"

    @optional
    def rehearsed(self) -> PromptMethod:
        """One that needs no directions of many epochs, and no large share of the examples."""
        return self.model_copy(update={"subspace": None, "prototype_share": 1.0})

    @optional
    def trained_first(self) -> PromptMethod:
        """Prompts that are trained, all of them, in the whole space."""
        return self.model_copy(update={"frozen_prompts": False, "keep": 1.0, "subspace": None})

    def deep(self, backbone: Backbone, parametrization: Parametrization | None = None) -> Deep:
        """Prompts at every block, as keys and values."""
        return Deep(
            backbone.depth,
            self.count,
            backbone.width,
            dropout=self.prompt_dropout,
            parametrization=parametrization,
            keep_outputs=self.averages,
        )


class TokenPrompts(PromptMethod, TokenFields, ABC):
    """A method with VPT's two insertions, whatever its prompts start from."""

    @property
    def count(self) -> int:
        return self.num_prompts or (100 if self.shallow else 20)

    def insertion(self, backbone: Backbone) -> Insertion:
        if not self.shallow:
            return self.deep(backbone)
        return Shallow(self.count, backbone.width, dropout=self.prompt_dropout, keep_outputs=self.averages)


class WithoutPrompts(Method, ABC):
    """A baseline."""

    @optional
    def insertion(self, backbone: Backbone) -> Insertion:
        return NoPrompts()

    def initialization(self) -> None:
        return None

    def condensation(self) -> None:
        return None
