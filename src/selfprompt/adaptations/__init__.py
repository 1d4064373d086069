"""What is done at test time, for each unlabelled input by itself; one file an adaptation, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfprompt import registry
from selfprompt.errors import unknown
from selfprompt.methods import read_spec

if TYPE_CHECKING:
    from selfprompt.adaptations.base import Adaptation

RECORDS = registry.walk(__name__)


def known(spec: str) -> tuple[str, dict[str, str]]:
    """The name and fields of ``NAME`` or ``NAME:FIELD=VALUE:FIELD=VALUE``.

    Raises:
        UserError: It is written otherwise, or there is no adaptation of the name.
    """
    name, fields = read_spec(spec, "adaptation", "tpt:views=32")
    if name not in RECORDS:
        raise unknown("adaptation", name, RECORDS)
    return name, fields


def make_adaptation(adapt: str | Adaptation) -> Adaptation:
    """An adaptation by name with its fields, or an `Adaptation` as it is.

    Raises:
        UserError: There is no such adaptation, or a field is unknown or out of range.
    """
    if not isinstance(adapt, str):
        return adapt
    name, fields = known(adapt)
    return registry.make("adaptation", name, RECORDS, fields)
