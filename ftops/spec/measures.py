"""How answers are measured: the items of `evaluate.metrics`, the lines of `evaluate.require`."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ftops.records import ProviderSettings
from ftops.spec.entries import Kind
from ftops.spec.provider import Provider, settings_of
from ftops.spec.section import Section, Wanted

_REQUIREMENT = re.compile(r"\s*(>=|<=|>|<|==)\s*(-?[0-9]+(\.[0-9]+)?)\s*%?\s*")
WANTED_REQUIREMENT = Wanted('a comparison such as ">= 0.85" or "< 0.1"')


def is_requirement(text: str) -> bool:
    """Whether `text` compares a figure with a number."""
    return _REQUIREMENT.fullmatch(text) is not None


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from error
    return text


class RegexMetric(Section):
    """A pattern that the whole answer must match."""

    LABEL: ClassVar[str] = "regex"

    pattern: Annotated[
        str,
        Field(min_length=1, max_length=4096),
        AfterValidator(_pattern),
        Wanted("a regular expression of Python"),
    ] = Field(description="Regular expression (Python's) that the whole answer must match.")


class FunctionMetric(Section):
    """The user's own function."""

    LABEL: ClassVar[str] = "python"

    function: Annotated[str, Wanted("a file and a function, such as checks/my_check.py:score")] = (
        Field(
            pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
            max_length=4096,
            description="Python file, relative to the job file, and the function in it that gives a"
            " number (or true, false) for an answer. It is run as it stands, on this machine.",
        )
    )


class SchemaMetric(Section):
    """A JSON Schema that the answer must fit."""

    LABEL: ClassVar[str] = "schema_valid"

    file: Annotated[str, Wanted("the path of a JSON Schema")] = Field(
        min_length=1,
        max_length=4096,
        description="JSON Schema, relative to the job file, that the answer must fit.",
    )


class JudgeMetric(Section):
    """A model that says which of two answers is better, or how good one is."""

    LABEL: ClassVar[str] = "judge"

    model: Annotated[str, Wanted("the name of a model")] = Field(
        min_length=1, max_length=256, description="Model that judges."
    )
    provider: Annotated[
        Provider | None, Wanted("the name of a provider, or a mapping with its type", "group")
    ] = Field(None, description="Where it is asked; at the job's own provider if left out.")
    question: Annotated[str, Wanted("text of 1 to 4096 characters")] = Field(
        "Which answer is better: more correct, more complete, closer to what was asked for?",
        min_length=1,
        max_length=4096,
        description="What it is asked about the answers.",
    )
    mode: Annotated[
        Literal["pair", "grade"], Wanted("pair or grade", choices=("pair", "grade"))
    ] = Field(
        "pair",
        description="`pair`: which of the tuned model's answer and another candidate's is better,"
        " asked in both orders; counted where both agree, half otherwise. `grade`: one answer"
        " alone, from 1 to 5.",
    )

    @property
    def settings(self) -> ProviderSettings | None:
        """The provider as the other rooms know it; None for the job's own."""
        return None if self.provider is None else settings_of(self.provider)


_WORDS: Mapping[str, str] = {
    "accuracy": "Share of the answers that are right, word for word.",
    "precision": "Precision, the mean of all classes.",
    "recall": "Recall, the mean of all classes.",
    "f1": "F1, the mean of all classes.",
}
METRICS: Mapping[str, Kind] = {
    **{word: Kind(text) for word, text in _WORDS.items()},
    "regex": Kind("Share of answers that match a pattern.", RegexMetric, "pattern", alone=False),
    "schema_valid": Kind("Share that fit a JSON Schema.", SchemaMetric, "file", alone=False),
    "python": Kind("Your own function.", FunctionMetric, "function", alone=False),
    "judge": Kind("What a model thinks of the answers.", JudgeMetric, alone=False),
}
