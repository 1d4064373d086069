"""A run's settings from a file: YAML, TOML or JSON, or the run.json of another run."""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from selfprompt.data.columns import Columns
from selfprompt.data.protocol import ImageSettings, Protocol, TextProtocol
from selfprompt.errors import UserError, unknown
from selfprompt.files import checked, damaged, json_object, read_text
from selfprompt.methods import for_recipe, read_spec, record_of
from selfprompt.methods.fields import TextFields, TokenFields
from selfprompt.methods.recipe import Recipe
from selfprompt.runs.config import RunConfig
from selfprompt.runs.unnamed import AUTO, method_of

logger = logging.getLogger("selfprompt")

FIX = "correct it"
SECTIONS = {
    "recipe": Recipe.model_fields,
    "protocol": {**Protocol.model_fields, **TextProtocol.model_fields},
    "columns": Columns.model_fields,
}
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
    columns: dict[str, str] = {}


TOP = {*Settings.model_fields, "track", "test", "whole"} - {"fields", *SECTIONS}


def read_settings(path: Path, backbone: str | None = None, method: str | None = None) -> Settings:
    """The settings in a file: flags by their names, or in sections ``method``, ``recipe`` and ``protocol``, as a
    run.json has them, and ``columns``.

    Args:
        path: The file.
        backbone, method: Others than the file's, from the command line: a section's fields of the file's own method,
            and what its backbone wants to see, are left out with it; so is what they brought of a run's recipe.

    Raises:
        UserError: It is no such file, cannot be read, says something twice, or has an unknown setting; or it is of a
            run that is part of a search.
    """
    raw = parsed(path)
    found: dict[str, Any] = {"fields": {}, **{part: {} for part in SECTIONS}}

    def put(place: dict[str, Any], name: str, value: Any) -> None:
        if name in place:
            raise UserError(f"{path} says {name} twice: leave one out.")
        place[name] = value

    section = raw.get("method")
    own, fields = (section, {}) if not isinstance(section, Mapping) else (section.get("name"), keys(section, path))
    if own is not None and not isinstance(own, str):
        raise damaged(path, "method: it has no name", FIX)
    chooses = raw.get("or_probe", False) or (own and read_spec(own)[0] == AUTO)
    name, spec = method_of(own) if own else (None, {})
    asked = method_of(method)[0] if method else name
    known = {**TextFields.model_fields, **TokenFields.model_fields}
    known |= record_of(asked).factory.model_fields if asked else {}
    of_a_run = {"test", "whole"} <= raw.keys()
    if fields and of_a_run and (asked != name or backbone not in (None, raw.get("backbone"))):
        raw |= without_its_own(raw, path, backbone is None)
    for setting in ("method", "or_probe"):
        raw.pop(setting, None)
    if asked == name:
        recipe = for_recipe(name, spec) if name else {}
        for field, value in [*((k, v) for k, v in fields.items() if k != "name"), *spec.items()]:
            put(found["fields"], field, value)
        found |= {"method": AUTO if chooses else name, "recipe": dict(recipe)}
    for part, its in SECTIONS.items():
        inner = raw.pop(part, {})
        if not isinstance(inner, Mapping):
            raise damaged(path, f"{part}: it holds no settings", FIX)
        for field, value in keys(inner, path).items():
            if field not in its:
                raise unknown(f"setting of the {part} in {path}", field, its)
            if of_a_run and (field, value) == ("metric", "top1"):
                continue  # it may have been left open
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


def without_its_own(raw: Mapping[str, Any], path: Path, same: bool) -> dict[str, Any]:
    """Settings of a run without those that its method and backbone brought, for another of either.

    Args:
        raw: A run.json.
        path: The file.
        same: It is the same backbone, whose embedded example is the other method's, too.
    """
    run = checked(raw, RunConfig, path, FIX)
    try:
        recipe = run.asked_recipe()
    except UserError as error:
        logger.warning("%s: its recipe is left out, of which it is not known who chose what (%s)", path, error)
        recipe = {}
    return {"recipe": recipe} | ({"data": None, "first": None} if same and run.embedded else {})


def keys(section: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    """A section by names of settings as Python has them.

    Raises:
        UserError: One stands in it twice.
    """
    return once(((str(key).replace("-", "_"), value) for key, value in section.items()), path)


def once(pairs: Iterable[tuple[Any, Any]], path: Path) -> dict[Any, Any]:
    """Pairs of a key and a value as a mapping.

    Raises:
        UserError: A key stands there twice.
    """
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UserError(f"{path} says {key} twice: leave one out.")
        found[key] = value
    return found


def from_yaml(text: str, path: Path) -> Any:
    """What YAML says; errors are PyYAML's, and those of `once`."""

    class Loader(yaml.SafeLoader):
        """YAML's, which takes the last of several without a word."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            once(((key.value, None) for key in keys if key.tag != "tag:yaml.org,2002:merge"), path)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)


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
        found = json_object(text, path, FIX)
        json.loads(text, object_pairs_hook=lambda pairs: once(pairs, path))
        return keys(found, path)
    try:
        found = tomllib.loads(text) if suffix == ".toml" else from_yaml(text, path)
    except (ValueError, yaml.YAMLError) as error:
        raise damaged(path, " ".join(str(error).split()), FIX) from None
    if not isinstance(found, dict):
        raise damaged(path, "it holds no settings by name", FIX)
    return keys(found, path)
