"""Whom the tuned model is compared with: the items of `evaluate.against`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ftops.records import ProviderSettings
from ftops.spec.entries import Kind
from ftops.spec.provider import Provider, settings_of
from ftops.spec.section import Section, Wanted

_UNTRAINED = (
    "Ask it also where the base is a built-in size, which knows nothing before it is trained."
)
_Instructions = Annotated[str | None, Wanted("text of 1 to 20000 characters", "text")]
_INSTRUCTIONS = (
    "What it is told before each question, such as the labels to choose from: a system message"
    " before a chat, a line before a text. The tuned model is not told."
)


class BaseCandidate(Section):
    """The base model, as it is asked."""

    LABEL: ClassVar[str] = "base"

    allow_untrained: Annotated[bool, Wanted("true or false", "flag")] = Field(
        False, description=_UNTRAINED
    )
    instructions: _Instructions = Field(
        None, min_length=1, max_length=20_000, description=_INSTRUCTIONS
    )


class FewShotCandidate(Section):
    """The base model with examples in the prompt."""

    LABEL: ClassVar[str] = "few-shot"

    examples: Annotated[int, Wanted("a whole number from 1 to 100", "number")] = Field(
        ge=1, le=100, description="How many training rows stand in each prompt."
    )
    selection: Annotated[
        Literal["random", "balanced", "nearest"],
        Wanted("random, balanced or nearest", choices=("random", "balanced", "nearest")),
    ] = Field(
        "balanced",
        description="Which rows: drawn by lot, drawn by lot from each class in turn, or those most"
        " like the question (TF-IDF).",
    )
    seed: Annotated[int | None, Wanted("a whole number from 0 to 2147483647", "number")] = Field(
        None, ge=0, le=2_147_483_647, description="Draws other rows; `evaluate.seed` if left out."
    )
    allow_untrained: Annotated[bool, Wanted("true or false", "flag")] = Field(
        False, description=_UNTRAINED
    )
    instructions: _Instructions = Field(
        None, min_length=1, max_length=20_000, description=_INSTRUCTIONS
    )


class OtherModel(Section):
    """Any model, at any provider."""

    LABEL: ClassVar[str] = "model"

    name: Annotated[str, Wanted("the name of a model")] = Field(
        min_length=1, max_length=256, description="Name of the model."
    )
    provider: Annotated[
        Provider | None, Wanted("the name of a provider, or a mapping with its type", "group")
    ] = Field(None, description="Where it is asked; at the job's own provider if left out.")
    instructions: _Instructions = Field(
        None, min_length=1, max_length=20_000, description=_INSTRUCTIONS
    )

    @property
    def settings(self) -> ProviderSettings | None:
        """The provider as the other rooms know it; None for the job's own."""
        return None if self.provider is None else settings_of(self.provider)


CANDIDATES: Mapping[str, Kind] = {
    "base": Kind("The model that was tuned, as it was before.", BaseCandidate),
    "few-shot": Kind(
        "The same, with training rows as examples in the prompt: a number, or a mapping.",
        FewShotCandidate,
        short="examples",
        alone=False,
    ),
    "baseline": Kind("What costs nothing: naive Bayes, nearest neighbour, the majority."),
    "previous": Kind("What the run of the same name before this one made."),
    "checkpoints": Kind("The models that the job kept on its way."),
    "model": Kind(
        "Any other model: its name, or a mapping.", OtherModel, short="name", alone=False
    ),
}
