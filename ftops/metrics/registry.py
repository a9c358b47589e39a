"""The registry of metrics: the only place that declares a metric.

An entry has the metric's name, description, unit, direction and settings, and names the function
that creates it. The job file's schema and documentation, docs/metrics.md, the terminal, reports and
the export to promptfoo use the entries. A new metric is a function in a module of this package and
an entry below.

The modules of metrics need NumPy. They are imported when a metric is created, so that a job file is
read without them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ftops.metrics.result import Unit
from ftops.metrics.row_worker import compile_pattern
from ftops.records import Json


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a metric: `expected` completes "NAME must be …"; `validate` raises ValueError.

    `minimum` and `maximum` bound a number, or the length of a text.
    """

    name: str
    type: type[str] | type[int]
    description: str
    expected: str
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 1
    maximum: int | None = None
    pattern: str | None = None
    validate: Callable[[str], object] | None = None
    names_file: bool = False


@dataclass(frozen=True, slots=True)
class MetricType:
    """A kind of metric.

    `factory` is "module:function" in this package; the function takes the metric's name, the
    `MetricContext`, `arguments` and the settings. The first setting can be written without its
    name, as in `regex: "^[AB]$"`. `extra` names a library of the extra `ftops[metrics]`.
    `promptfoo` is the type of the promptfoo assertion that checks the same for one prediction.
    """

    name: str
    description: str
    factory: str
    unit: Unit = Unit.SHARE
    higher_is_better: bool = True
    settings: tuple[Setting, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    needs_probabilities: bool = False
    extra: str = ""
    promptfoo: str = ""

    @property
    def needs_settings(self) -> bool:
        """Whether the metric cannot be used without settings."""
        return any(setting.required for setting in self.settings)


def _list_class_metrics() -> Iterator[MetricType]:
    for name, title in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")):
        for suffix, average in (
            ("", "the mean over classes (macro average)"),
            ("_weighted", "the mean over classes, weighted by their rows"),
            ("_micro", "over all classes together (micro average)"),
        ):
            factory = "classification:create_class_metric"
            arguments = {"average": f"{name}{suffix}"}
            text = f"{title}, {average}."
            yield MetricType(f"{name}{suffix}", text, factory, arguments=arguments)


def _list_tool_call_metrics() -> Iterator[MetricType]:
    for name, text in (
        (
            "exact",
            "Share of predictions whose tool calls are those expected: the same functions with the"
            " same arguments, in any order.",
        ),
        (
            "present",
            "Share of predictions that call a tool exactly if a call is expected.",
        ),
        ("name", "Share of predictions that call the expected functions, in any order."),
        (
            "valid",
            "Share of predictions with tool calls whose arguments are all JSON objects; the others"
            " are malformed.",
        ),
        (
            "key_precision",
            "Mean share of the predicted argument keys that are expected; predictions without"
            " arguments are left out.",
        ),
        (
            "key_recall",
            "Mean share of the expected argument keys that are predicted; rows that expect no"
            " arguments are left out.",
        ),
    ):
        factory = f"tool_calls:create_{name}"
        yield MetricType(f"tool_call_{name}", text, factory)


_POSITIVE = Setting(
    "positive",
    str,
    "The positive class; by default the mean over all classes, one against the rest.",
    "text: one of the classes",
    maximum=256,
)
_NORMALIZE = Setting(
    "normalize",
    str,
    "`squad`: compare as SQuAD does, without case, punctuation, articles (a, an, the) and repeated"
    " white space. `none` strips white space at both ends only.",
    "none or squad",
    choices=("none", "squad"),
)
_BINS = Setting(
    "bins",
    int,
    "Number of bins of equal width; 10 by default.",
    "a whole number from 1 to 1000",
    maximum=1000,
)
_SCHEMA_FILE = Setting(
    "file",
    str,
    "JSON Schema, relative to the job file, that predictions are validated against.",
    "the path of a JSON Schema",
    required=True,
    maximum=4096,
    names_file=True,
)
_PATTERN = Setting(
    "pattern",
    str,
    "Regular expression (Python syntax) to search for in the prediction.",
    "a regular expression of Python",
    required=True,
    maximum=4096,
    validate=compile_pattern,
)
_MAX = Setting("max", int, "Maximum number of characters.", "a whole number above 0", required=True)
_FUNCTION = Setting(
    "function",
    str,
    "Python file, relative to the job file, and a function in it. It is called with the prompt, the"
    " expected and the predicted text, and returns true, false or a number. It runs on this machine"
    " with your permissions.",
    "a file and a function, such as checks/my_check.py:score",
    required=True,
    maximum=4096,
    pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
    names_file=True,
)

METRICS: Mapping[str, MetricType] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            MetricType(
                "accuracy",
                "Share of predictions that equal the expected answer, except for white space at"
                " both ends.",
                "text:create_exact_match",
                promptfoo="equals",
            ),
            *_list_class_metrics(),
            MetricType(
                "auroc",
                "Area under the ROC curve.",
                "probabilities:create_auroc",
                Unit.SCORE,
                settings=(_POSITIVE,),
                needs_probabilities=True,
                extra="scikit-learn",
            ),
            MetricType(
                "auprc",
                "Area under the precision-recall curve (average precision).",
                "probabilities:create_auprc",
                Unit.SCORE,
                settings=(_POSITIVE,),
                needs_probabilities=True,
                extra="scikit-learn",
            ),
            MetricType(
                "calibration_error",
                "Expected calibration error.",
                "probabilities:create_calibration_error",
                Unit.SCORE,
                higher_is_better=False,
                settings=(_BINS,),
                needs_probabilities=True,
            ),
            MetricType(
                "brier",
                "Brier score: squared distance of the probabilities from the expected label, summed"
                " over labels, from 0 to 2.",
                "probabilities:create_brier",
                Unit.SCORE,
                higher_is_better=False,
                needs_probabilities=True,
            ),
            MetricType(
                "exact_match",
                "Share of predictions that equal the expected answer, except for white space at"
                " both ends, or as `normalize` says.",
                "text:create_exact_match",
                settings=(_NORMALIZE,),
                promptfoo="equals",
            ),
            MetricType(
                "token_f1",
                "F1 of the words shared with the expected answer; case and punctuation are"
                " ignored.",
                "text:create_token_f1",
            ),
            MetricType(
                "rouge_l",
                "ROUGE-L: F1 of the longest common subsequence of words.",
                "text:create_rouge_l",
                extra="rapidfuzz",
            ),
            MetricType(
                "bleu",
                "BLEU of the whole file, by sacrebleu with its defaults, from 0 to 1.",
                "text:create_bleu",
                Unit.SCORE,
                extra="sacrebleu",
            ),
            MetricType(
                "chrf",
                "chrF2 of the whole file, by sacrebleu with its defaults, from 0 to 1.",
                "text:create_chrf",
                Unit.SCORE,
                extra="sacrebleu",
            ),
            MetricType(
                "edit_distance",
                "Levenshtein distance in characters, as a share of the longer text.",
                "text:create_edit_distance",
                higher_is_better=False,
                extra="rapidfuzz",
            ),
            MetricType(
                "json_valid",
                "Share of predictions that are one JSON value.",
                "structure:create_json_valid",
                promptfoo="is-json",
            ),
            MetricType(
                "json_fields",
                "Mean share of the fields of the expected and the predicted JSON object that are"
                " equal in both; rows that expect no JSON object are left out.",
                "structure:create_json_fields",
            ),
            MetricType(
                "json_schema",
                "Share of predictions that are JSON and valid against a JSON Schema.",
                "structure:create_json_schema",
                settings=(_SCHEMA_FILE,),
                extra="jsonschema",
                promptfoo="is-json",
            ),
            MetricType(
                "regex",
                "Share of predictions in which a pattern is found.",
                "structure:create_regex",
                settings=(_PATTERN,),
                promptfoo="regex",
            ),
            MetricType(
                "stop_reached",
                "Share of predictions that end before `max_tokens`.",
                "structure:create_stop_reached",
                promptfoo="finish-reason",
            ),
            *_list_tool_call_metrics(),
            MetricType(
                "max_chars",
                "Share of predictions that have at most `max` characters.",
                "structure:create_max_chars",
                settings=(_MAX,),
                promptfoo="javascript",
            ),
            MetricType(
                "python",
                "Mean of the values that your own function returns.",
                "python_function:create_python_function",
                Unit.SCORE,
                settings=(_FUNCTION,),
            ),
        )
    }
)
# The evaluation creates the judge metric, since it sends the requests.
JUDGE = MetricType(
    "judge",
    "A model compares or grades predictions: the share of comparisons won, or the mean grade.",
    "",
    promptfoo="llm-rubric",
)


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """The name of a metric type, with its settings; the setting `name` renames its results."""

    type: str
    settings: Mapping[str, Json] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in results."""
        return str(self.settings.get("name") or self.type)


def render_table() -> str:
    """The table of docs/metrics.md."""
    lines = [
        "| metric | what it measures | unit | settings | needs |",
        "| --- | --- | --- | --- | --- |",
    ]
    for metric in (*METRICS.values(), JUDGE):
        direction = "" if metric.higher_is_better else " Lower is better."
        settings = ", ".join(f"`{setting.name}`" for setting in metric.settings)
        needs = [f"`{metric.extra}`"] if metric.extra else []
        needs += ["log probabilities"] if metric.needs_probabilities else []
        cells = [f"`{metric.name}`", f"{metric.description}{direction}", metric.unit.value]
        lines.append(f"| {' | '.join([*cells, settings, ', '.join(needs)])} |")
    return "\n".join(lines)
