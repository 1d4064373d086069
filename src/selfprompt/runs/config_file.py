"""A run's settings from a file: YAML, TOML or JSON, or the run.json of another run."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from selfprompt.data.protocol import ImageSettings, Protocol, TextProtocol
from selfprompt.errors import UserError, unknown
from selfprompt.files import checked, damaged, json_object, read_text
from selfprompt.methods import for_recipe, read_spec, record_of
from selfprompt.methods.fields import TextFields, TokenFields
from selfprompt.methods.recipe import Recipe
from selfprompt.runs.unnamed import AUTO, method_of

FIX = "correct it"
SECTIONS = {"recipe": Recipe.model_fields, "protocol": {**Protocol.model_fields, **TextProtocol.model_fields}}
OF_BACKBONE = {*ImageSettings.model_fields, "tokenizer"} - {"augmentation", "value_range"}
"""Settings of a protocol that another backbone may bring otherwise."""


class Settings(BaseModel):
    """What a file gives of a run, as `RunConfig.resolve` takes it; None where it leaves something open."""

    model_config = ConfigDict(strict=True)

    data: str | None = None
    backbone: str | None = None
    method: str | None = None
    image_size: int | None = Field(default=None, ge=1)
    first: str | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**32 - 1)
    probe: bool | None = None
    trackers: list[str] | None = None
    fields: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    protocol: dict[str, Any] = {}


TOP = {*Settings.model_fields, "track", "test", "whole"} - {"fields", "recipe", "protocol"}


def read_settings(path: Path, backbone: str | None = None, method: str | None = None) -> Settings:
    """The settings in a file: flags by their names, or in sections ``method``, ``recipe`` and ``protocol``, as a
    run.json has them.

    Args:
        path: The file.
        backbone, method: Others than the file's, from the command line: a section's fields of the file's own method,
            and what its backbone wants to see, are left out with it.

    Raises:
        UserError: It is no such file, cannot be read, says something twice, or has an unknown setting; or it is of a
            run that is part of a search.
    """
    raw = parsed(path)
    found: dict[str, Any] = {"fields": {}, "recipe": {}, "protocol": {}}

    def put(place: dict[str, Any], name: str, value: Any) -> None:
        if name in place:
            raise UserError(f"{path} says {name} twice: leave one out.")
        place[name] = value

    section = raw.pop("method", None)
    own, fields = (section, {}) if not isinstance(section, Mapping) else (section.get("name"), keys(section))
    if own is not None and not isinstance(own, str):
        raise damaged(path, "method: it has no name", FIX)
    chooses = raw.pop("or_probe", False) or (own and read_spec(own)[0] == AUTO)
    name, spec = method_of(own) if own else (None, {})
    asked = method_of(method)[0] if method else name
    known = {**TextFields.model_fields, **TokenFields.model_fields}
    known |= record_of(asked).factory.model_fields if asked else {}
    if asked == name:
        recipe = for_recipe(name, spec) if name else {}
        for field, value in [*((k, v) for k, v in fields.items() if k != "name"), *spec.items()]:
            put(found["fields"], field, value)
        found |= {"method": AUTO if chooses else name, "recipe": dict(recipe)}
    for part, its in SECTIONS.items():
        inner = raw.pop(part, {})
        if not isinstance(inner, Mapping):
            raise damaged(path, f"{part}: it holds no settings", FIX)
        for field, value in keys(inner).items():
            if field not in its:
                raise unknown(f"setting of the {part} in {path}", field, its)
            if field == "image_size" and not backbone:
                put(found, field, value)
            elif part == "recipe" or (field != "kind" and not (backbone and field in OF_BACKBONE)):
                put(found[part], field, value)
    for setting, value in raw.items():
        if setting in TOP:
            put(found, {"track": "trackers"}.get(setting, setting), value)
            continue
        place = next((part for part, its in SECTIONS.items() if setting in its and setting not in known), "fields")
        if place == "fields" and setting not in known:
            every = {*TOP, *known, *(field for its in SECTIONS.values() for field in its)}
            raise unknown(f"setting in {path}", setting, every - {"test", "whole", "kind", "tokenizer"})
        put(found[place], setting, value)
    if found.pop("whole", False) or not found.pop("test", True):
        raise UserError(f"{path} is of a run within a comparison or a search: take the run.json of a run of tune.")
    return checked(found, Settings, path, FIX)


def keys(section: Mapping[Any, Any]) -> dict[str, Any]:
    """A section by names of settings as Python has them."""
    return {str(key).replace("-", "_"): value for key, value in section.items()}


def parsed(path: Path) -> dict[str, Any]:
    """The one mapping that a file holds.

    Raises:
        UserError: It holds none, or is of another kind.
    """
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".toml", ".json"):
        raise UserError(f"{path} must end in .yaml, .toml or .json: its suffix tells how it is read.")
    text = read_text(path, "give a file of settings, or a run's run.json")
    if suffix == ".json":
        return keys(json_object(text, path, FIX))
    try:
        found = tomllib.loads(text) if suffix == ".toml" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise damaged(path, " ".join(str(error).split()), FIX) from None
    if not isinstance(found, dict):
        raise damaged(path, "it holds no settings by name", FIX)
    return keys(found)
