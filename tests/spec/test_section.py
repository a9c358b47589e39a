"""What a field expects is derived from its type and bounds, or declared."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from ftops.spec.section import Expected, Section, get_expected, suggest_value


class Example(Section):
    """A section with one field of each kind."""

    count: int = Field(1, ge=1, le=200)
    tokens: int | None = Field(None, ge=1)
    share: float | None = Field(None, ge=0, le=1)
    rate: Annotated[float, Field(gt=0, le=2)] | Literal["auto"] | None = Field("auto")
    enabled: bool = False
    mode: Literal["random", "nearest"] | None = None
    suffix: str | None = Field(None, min_length=1, max_length=64)
    note: str = ""
    inner: Section = Section()
    path: Annotated[str | None, Expected("a path")] = Field(None, max_length=9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("count", Expected("a whole number from 1 to 200", "number")),
        ("tokens", Expected("a whole number above 0", "number")),
        ("share", Expected("a number from 0 to 1", "number")),
        ("rate", Expected('"auto" or a number above 0, at most 2', "number", ("auto",))),
        ("enabled", Expected("true or false", "flag")),
        ("mode", Expected("random or nearest", choices=("random", "nearest"))),
        ("suffix", Expected("text of 1 to 64 characters")),
        ("note", Expected("text")),
        ("inner", Expected("a mapping", "group")),
        ("path", Expected("a path")),
    ],
)  # fmt: skip
def test_what_a_field_expects_is_derived(name: str, expected: Expected) -> None:
    assert get_expected(Example.model_fields[name]) == expected


@pytest.mark.parametrize(
    ("name", "value", "suggestion"),
    [
        ("mode", "Nearst", "did you mean 'nearest'?"),
        ("suffix", 7, 'put it in quotes: "7"'),
        ("enabled", "yes", "write true"),
        ("count", "7", "write it without quotes: 7"),
        ("count", 900, ""),
    ],
)
def test_an_invalid_value_gets_a_suggestion(name: str, value: object, suggestion: str) -> None:
    expected = get_expected(Example.model_fields[name])
    assert suggest_value(expected, value, str(value)) == suggestion
