"""How answers are measured: the items of `evaluate.metrics`, the lines of `evaluate.require`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ftops.metrics.row_scorers import compile_pattern
from ftops.records import ProviderSettings
from ftops.spec.provider import Provider, settings_of
from ftops.spec.section import Kind, Section, Wanted

WANTED_REQUIREMENT = Wanted('a comparison such as ">= 0.85" or "< 0.1"')


def _pattern(text: str) -> str:
    compile_pattern(text)
    return text


_OwnName = Annotated[str | None, Wanted("text of 1 to 64 characters")]
_OWN_NAME = "What the figure is called, where the same metric is taken twice."


class RegexMetric(Section):
    """A pattern that must be found in the answer."""

    LABEL: ClassVar[str] = "regex"

    pattern: Annotated[
        str,
        Field(min_length=1, max_length=4096),
        AfterValidator(_pattern),
        Wanted("a regular expression of Python"),
    ] = Field(description="Regular expression (Python's) that must be found in the answer.")
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)


class FunctionMetric(Section):
    """The user's own function."""

    LABEL: ClassVar[str] = "python"

    function: Annotated[str, Wanted("a file and a function, such as checks/my_check.py:score")] = (
        Field(
            pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
            max_length=4096,
            description="Python file, relative to the job file, and the function in it that is"
            " called with the prompt, the expected and the given answer, and gives true, false or a"
            " number. It is run as it stands, on this machine.",
        )
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)


class SchemaMetric(Section):
    """A JSON Schema that the answer must fit."""

    LABEL: ClassVar[str] = "json_schema"

    file: Annotated[str, Wanted("the path of a JSON Schema")] = Field(
        min_length=1,
        max_length=4096,
        description="JSON Schema, relative to the job file, that the answer must fit.",
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)


class LengthMetric(Section):
    """How long an answer may be."""

    LABEL: ClassVar[str] = "max_chars"

    max: Annotated[int, Wanted("a whole number above 0", "number")] = Field(
        ge=1, description="Most characters of an answer."
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)


class RankingMetric(Section):
    """How well probabilities tell classes apart."""

    LABEL: ClassVar[str] = "auroc, auprc"

    positive: Annotated[str | None, Wanted("text: one of the classes")] = Field(
        None,
        min_length=1,
        max_length=256,
        description="The class that is told apart; the mean over all classes if left out.",
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)


class CalibrationMetric(Section):
    """How far probabilities are from how often they are right."""

    LABEL: ClassVar[str] = "calibration_error"

    bins: Annotated[int | None, Wanted("a whole number above 0", "number")] = Field(
        None, ge=1, le=1000, description="How many bins of probabilities are compared."
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)


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
        Literal["pairwise", "grade"], Wanted("pairwise or grade", choices=("pairwise", "grade"))
    ] = Field(
        "pairwise",
        description="`pairwise`: the judge compares the tuned model's answer with each candidate's,"
        " in both orders; a disagreement between the orders counts half. `grade`: it grades each"
        " answer alone, from 1 to 5.",
    )
    name: _OwnName = Field(None, min_length=1, max_length=64, description=_OWN_NAME)

    @property
    def settings(self) -> ProviderSettings | None:
        """The provider as the other rooms know it; None for the job's own."""
        return None if self.provider is None else settings_of(self.provider)


_WORDS: Mapping[str, str] = {
    "accuracy": "Share of the answers that are right, word for word.",
    "precision": "Precision, the mean of all classes.",
    "precision_weighted": "The same, weighted by the rows of each class.",
    "precision_micro": "The same, over all classes taken together.",
    "recall": "Recall, the mean of all classes.",
    "recall_weighted": "The same, weighted by the rows of each class.",
    "recall_micro": "The same, over all classes taken together.",
    "f1": "F1, the mean of all classes.",
    "f1_weighted": "The same, weighted by the rows of each class.",
    "f1_micro": "The same, over all classes taken together.",
    "brier": "Squared distance of probabilities from what is right; lower is better.",
    "exact_match": "Share of answers that are right but for case, articles and punctuation.",
    "token_f1": "F1 of the words that an answer shares with the expected one.",
    "rouge_l": "ROUGE-L of the longest common run of words.",
    "bleu": "BLEU by sacrebleu, from 0 to 1.",
    "chrf": "chrF by sacrebleu, from 0 to 1.",
    "edit_distance": "Characters to change, as a share of the longer text; lower is better.",
    "json_valid": "Share of answers that are JSON.",
    "stop_reached": "Share of answers that ended by themselves.",
}
METRICS: Mapping[str, Kind] = {
    **{word: Kind(text) for word, text in _WORDS.items()},
    "auroc": Kind("Area under the ROC curve, of probabilities.", RankingMetric, "positive"),
    "auprc": Kind("Area under precision by recall, likewise.", RankingMetric, "positive"),
    "calibration_error": Kind("Expected calibration error.", CalibrationMetric, "bins"),
    "json_schema": Kind("Share that fit a JSON Schema.", SchemaMetric, "file", alone=False),
    "regex": Kind("Share of answers with a pattern.", RegexMetric, "pattern", alone=False),
    "max_chars": Kind("Share that is short enough.", LengthMetric, "max", alone=False),
    "python": Kind("Your own function.", FunctionMetric, "function", alone=False),
    "judge": Kind("What a model thinks of the answers.", JudgeMetric, alone=False),
}
