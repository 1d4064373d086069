"""One file a paper: `base` says what such a file answers. Here they are found by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from selfprompt import registry
from selfprompt.errors import UserError, unknown

if TYPE_CHECKING:
    from selfprompt.methods.base import Method

RECORDS = registry.walk(__name__)


def compared(variants: bool = False) -> list[str]:
    """The methods of a comparison where none are named; with the variants that benchmarks run besides."""
    records = sorted((r for r in RECORDS.values() if r.compared), key=lambda record: record.compared)
    more = [f"{record.name}:{fields}" for record in records for fields in record.variants]
    return [record.name for record in records] + (more if variants else [])


def packaged_for(specs: Sequence[str]) -> str:
    """The packaged backbone on which some methods, as `read_spec` takes them, can all be run, if any can."""
    from selfprompt.methods.base import Method

    wanted = (record_of(read_spec(spec)[0]).factory.packaged for spec in specs)
    return next((name for name in wanted if name != Method.packaged), Method.packaged)


def record_of(name: str) -> registry.Record:
    """The record of a method.

    Raises:
        UserError: No such name; the message offers the nearest ones.
    """
    if name not in RECORDS:
        raise unknown("method", name, RECORDS)
    return RECORDS[name]


def make_method(method: str | Method, **fields: Any) -> Method:
    """A method by name with its fields, or a `Method` as it is.

    Raises:
        UserError: There is no such method, or a field is unknown or out of range.
    """
    if not isinstance(method, str):
        if fields:
            raise UserError(f"A Method object has its fields already: set {', '.join(fields)} in it.")
        return method
    return registry.make("method", method, RECORDS, fields)


def from_description(description: dict[str, Any]) -> Method:
    """The method that `Method.describe` described.

    Raises:
        UserError: See `make_method`.
    """
    return make_method(description["name"], **{k: v for k, v in description.items() if k != "name"})


def read_spec(spec: str, kind: str = "method", such: str = "spt:prompt_rms=0.1") -> tuple[str, dict[str, str]]:
    """A method, or another ``kind``, in one word, ``NAME`` or ``NAME:FIELD=VALUE:FIELD=VALUE``: its name and fields.

    Raises:
        UserError: It is written otherwise.
    """
    name, *pairs = spec.strip().split(":")
    if any("=" not in pair for pair in pairs):
        raise UserError(f"{spec!r} is no {kind}: write NAME, or NAME:FIELD=VALUE, such as {such}.")
    fields: dict[str, str] = {}
    for field, _, value in (pair.partition("=") for pair in pairs):
        if field in fields:
            raise UserError(f"{spec!r} has {field} twice: leave one out.")
        fields[field] = value
    return name, fields


def for_recipe(method: str, fields: dict[str, str]) -> dict[str, str]:
    """Those of a spec's fields that are no method's but its recipe's, such as ``epochs``, taken out of the others."""
    from selfprompt.methods.recipe import Recipe

    own = record_of(method).factory.model_fields
    return {field: fields.pop(field) for field in [*fields] if field in Recipe.model_fields and field not in own}


def read_specs(methods: str | Sequence[str]) -> list[str]:
    """Methods as a list, given as one or with commas between."""
    return [spec.strip() for spec in (methods.split(",") if isinstance(methods, str) else methods)]
