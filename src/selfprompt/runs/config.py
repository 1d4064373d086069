"""What decides a run's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from selfprompt.backbones.aliases import resolve
from selfprompt.backbones.load import info
from selfprompt.data.protocol import AnyProtocol, protocol_for
from selfprompt.data.sources import locate
from selfprompt.errors import UserError, out_of_range
from selfprompt.files import must_be_utf8, read_as
from selfprompt.methods import for_recipe, from_description, make_method, read_spec, record_of
from selfprompt.methods.base import Method, PromptMethod
from selfprompt.methods.recipe import Recipe
from selfprompt.runs.presets import PRESETS
from selfprompt.runs.unnamed import AUTO, method_of, unnamed

NAME = "run.json"


def described(method: Any) -> Method:
    """A method, or what `Method.describe` gave, as a method."""
    if isinstance(method, Method):
        return method
    if not isinstance(method, dict) or not isinstance(method.get("name"), str):
        raise ValueError("it has no name")
    try:
        return from_description(method)
    except UserError as error:
        raise ValueError(str(error)) from None


class RunConfig(BaseModel):
    """Everything that decides a run's numbers; run.json in its folder.

    Args:
        data: A registered name, hf:NAME, or a folder's absolute path (see `locate`).
        backbone, method, recipe, protocol, seed: What is run, resolved.
        probe: Measure a linear probe, too, where prompts are trained.
        or_probe: Keep it in the prompts' place where it does better on validation.
        test: Look at the test set at the end; a trial of a search does not.
        whole: Train on the training and validation images together, and keep the last epoch.
        first: Data that the prompts are trained on before, in a run of its own (see `before`).
        trackers: accelerate's trackers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    backbone: str
    method: Annotated[Method, BeforeValidator(described), PlainSerializer(Method.describe)]
    recipe: Recipe
    protocol: AnyProtocol
    seed: int = Field(default=0, ge=0, lt=2**32 - 1)
    probe: bool = True
    or_probe: bool = False
    test: bool = True
    whole: bool = False
    first: str | None = None
    trackers: tuple[str, ...] = ()

    @classmethod
    def resolve(
        cls,
        data: str | None = None,
        backbone: str | None = None,
        method: str = AUTO,
        *,
        fields: dict[str, Any] | None = None,
        recipe: dict[str, Any] | None = None,
        protocol: dict[str, Any] | None = None,
        image_size: int | None = None,
        first: str | None = None,
        **rest: Any,
    ) -> RunConfig:
        """Fill in what the user left open: a backbone, its own protocol, and the method's published recipe.

        ``method`` may carry fields of its own and of its recipe (see `read_spec`); ``auto`` is SPT under the settings
        that are known to suit the backbone, if any, or the linear probe where that does better on validation.
        """
        for flag, given in {"DATA": data, "--backbone": backbone, "--method": method, "--first": first}.items():
            if given is not None:
                must_be_utf8(flag, given)
                if not given.strip():
                    raise UserError(f"{flag} is empty: leave it out, or say which.")
        if image_size is not None and image_size < 1:
            raise UserError(f"--image-size {image_size} is out of range: it must be 1 or more.")
        auto = read_spec(method)[0] == AUTO
        method, own_fields = method_of(method)
        recipe = (recipe or {}) | for_recipe(method, own_fields)
        packaged: str = record_of(method).factory.packaged
        if backbone in (None, AUTO):
            backbone, side = unnamed(packaged, data)
            image_size = image_size or side
        default = preset(backbone, data is None, auto)
        if data is None and not default:
            raise UserError(
                f"--backbone {backbone} needs DATA: give a folder of class folders, or a registered name."
            )
        own = record_of(method).factory.model_fields
        suggested = {k: v for k, v in default.get("fields", {}).items() if k in own}
        chosen = make_method(method, **(suggested | (fields or {}) | own_fields))
        backbone = resolve(backbone, texts=chosen.head() == "class_text")
        known = info(backbone, image_size)
        chosen = chosen.settled(known.pretraining)
        settings = default.get("protocol", {}) | (protocol or {})
        if data is None:
            first = first or chosen.first_data()
        begun = starting(chosen, first) if first else chosen
        changes = brought(chosen, default, settings.get("shots")) | recipe
        try:
            made = cls(
                data=locate(data) if data else default["data"],
                backbone=backbone,
                method=chosen,
                recipe=begun.recipe_with(known.pretraining, changes),
                protocol=protocol_for(known, **settings),
                first=locate(first) if first else None,
                or_probe=auto and rest.get("probe", True),
                **rest,
            )
        except ValidationError as error:
            raise out_of_range(error) from None
        made.recipe.check(made.protocol.inputs)
        return made

    @property
    def embedded(self) -> bool:
        """Whether it is of a packaged backbone's own example."""
        return self.protocol.name == "embedded"

    def asked_recipe(self) -> dict[str, Any]:
        """What of the recipe method, backbone and protocol do not bring by themselves.

        Raises:
            UserError: The backbone cannot be found.
        """
        pretraining = info(self.backbone, self.protocol.side).pretraining
        own = brought(self.method, preset(self.backbone, self.embedded, self.or_probe), self.protocol.shots)
        begun = starting(self.method, self.first) if self.first else self.method
        found: dict[str, Any] = {}
        for field in ("batch_size", "lr", *Recipe.model_fields):  # other fields follow from the first two
            value = getattr(self.recipe, field)
            if value != getattr(begun.recipe_with(pretraining, own | found), field):
                found[field] = value
        return found

    def before(self) -> RunConfig | None:
        """The run on ``first``, whose prompts this one starts from: the same prompts, by their own recipe."""
        if self.first is None:
            return None
        known = info(self.backbone, self.protocol.side)
        method = self.method.trained_first()
        default = PRESETS.get(self.backbone, {}) if self.first == method.first_data() else {}
        changes = default.get("first_recipe", {})
        return RunConfig(
            data=self.first,
            backbone=self.backbone,
            method=method,
            recipe=method.recipe_with(known.pretraining, changes),
            protocol=protocol_for(known, **self.protocol.model_dump(include={*self.protocol.reading.model_fields})),
            seed=self.seed,
            probe=False,
        )


def preset(backbone: str, embedded: bool, auto: bool) -> dict[str, Any]:
    """What the package brings for one of its backbones: with its embedded example, or on any data; more of it where
    no method is named."""
    found = PRESETS.get(backbone, {})
    kept = found.get("anywhere", ()) + (found.get("auto", ()) if auto else ())
    return found if embedded else {name: found[name] for name in kept}


def brought(method: Method, default: dict[str, Any], shots: int | None) -> dict[str, Any]:
    """What changes a method's published recipe before a user does: few shots, and a preset."""
    few, rates = method.few_shot(shots) if shots else {}, method.rates
    rate = {"lr": rates[default["rates"]]} if default.get("rates") in rates else {}
    return few | default.get("recipe", {}) | rate


def starting(method: Method, start: str) -> Method:
    """A method as it starts from an adapter.

    Raises:
        UserError: It cannot.
    """
    if not isinstance(method, PromptMethod) or method.start is not None:
        odd = "has none" if not isinstance(method, PromptMethod) else f"starts from {method.start}"
        raise UserError(f"--first trains prompts to start from, and {method.name} {odd}: leave --first out.")
    return method.model_copy(update={"start": start})


def read_run(folder: Path) -> RunConfig:
    """The configuration of the run in a folder.

    Raises:
        UserError: There is none, or it is damaged.
    """
    if not (folder / NAME).is_file():
        raise UserError(f"{folder} holds no run to go on with (no {NAME}): start it with --out {folder}.")
    fix = "restore it, or run again into another folder"
    return read_as(folder / NAME, RunConfig, fix)
