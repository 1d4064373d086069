"""Every study asks for methods and fields that there are."""

from __future__ import annotations

import pytest

from selfprompt.comparison.studies import STUDIES
from selfprompt.errors import UserError
from selfprompt.methods import make_method, read_spec


@pytest.mark.parametrize("name", STUDIES)
def test_methods_can_be_made(name: str) -> None:
    study = STUDIES[name]
    made = {str(make_method(spec_name, **fields)) for spec_name, fields in map(read_spec, study.methods)}
    assert len(made) == len(study.methods)
    assert len(study.methods) > 2 or len(study.variations) > 2


def test_a_field_is_given_once() -> None:
    assert read_spec("spt:keep=.5:prompt_rms=a=b") == ("spt", {"keep": ".5", "prompt_rms": "a=b"})
    with pytest.raises(UserError, match=r"'spt:keep=\.5:keep=\.6' has keep twice: leave one out"):
        read_spec("spt:keep=.5:keep=.6")
