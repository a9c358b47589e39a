"""Metrics are created by name; a wrong name or setting is an error."""

import sys
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.evaluation.scoring import choose_default_metrics
from ftops.metrics.metric import create_metrics
from ftops.metrics.prediction import Prediction
from ftops.metrics.registry import JUDGE, METRICS, MetricChoice, render_table
from ftops.records import Json, ToolCall
from tests.metrics.predictions import make_predictions, sample_labels, sample_texts


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (MetricChoice("f2"), "there is no metric `f2`; there are accuracy"),
        (MetricChoice("regex", {"patern": "x"}), "takes no `patern`; it takes name, pattern"),
        (MetricChoice("regex", {"pattern": 3}), "`pattern` of `regex` must be a regular"),
        (MetricChoice("max_chars", {"max": "12"}), "must be a whole number above 0, not '12'"),
        (MetricChoice("max_chars", {"max": 0}), "1 or more"),
        (MetricChoice("max_chars", {"max": True}), "must be a whole number"),
        (MetricChoice("regex"), "`regex` needs `pattern`"),
        (MetricChoice("python"), "needs `function`"),
        (MetricChoice("exact_match", {"normalize": "all"}), "must be none or squad"),
    ],
)
def test_a_wrong_choice_is_refused(choice: MetricChoice, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_metrics([choice])


def test_two_metrics_of_the_same_kind_need_distinct_names() -> None:
    twice = [MetricChoice("regex", {"pattern": letter}) for letter in "ab"]
    with pytest.raises(ValueError, match="two metrics are called `regex`"):
        create_metrics(twice)
    named = [twice[0], MetricChoice("regex", {"pattern": "b", "name": "b"})]
    assert [metric.name for metric in create_metrics(named)] == ["regex", "b"]


def test_every_registered_metric_can_be_created(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "check.py").write_text("def score(prompt, expected, given):\n    return 1\n")
    settings: dict[str, dict[str, Json]] = {
        "json_schema": {"file": "schema.json"},
        "regex": {"pattern": "."},
        "max_chars": {"max": 5},
        "python": {"function": "check.py:score"},
    }
    created = create_metrics(
        [MetricChoice(name, settings.get(name, {})) for name in METRICS], folder=tmp_path
    )
    assert [metric.name for metric in created] == list(METRICS)
    assert [metric.unit for metric in created] == [metric.unit for metric in METRICS.values()]
    predictions = sample_labels(60, 1)
    assert all(
        metric.measure(predictions).rows or metric.measure(predictions).notes for metric in created
    )


def test_default_metrics_depend_on_the_expected_texts() -> None:
    assert [metric.name for metric in choose_default_metrics(sample_labels(60, 1))] == [
        "accuracy",
        "f1",
    ]
    texts = [metric.name for metric in choose_default_metrics(sample_texts(60, 1))]
    assert texts == ["exact_match", "token_f1", "rouge_l"]
    objects = choose_default_metrics(make_predictions([(f'{{"a": {n}}}', "") for n in range(9)]))
    assert [metric.name for metric in objects] == ["json_fields", "exact_match", "json_valid"]
    calls = choose_default_metrics(
        [Prediction(1, "q", "", "", expected_calls=(ToolCall("f", ""),))]
    )
    assert calls[0].name == "tool_call_exact"
    assert (
        choose_default_metrics(make_predictions([("a", "a"), ("b", "b")]), labels=["a", "b"])[
            0
        ].name
        == "accuracy"
    )


def test_the_direction_of_each_metric_equals_that_of_its_sample(tmp_path: Path) -> None:
    predictions = sample_labels(60, 1)
    for metric in METRICS.values():
        if metric.needs_settings or metric.needs_probabilities:
            continue
        (created,) = create_metrics([MetricChoice(metric.name)])
        sample = created.measure(predictions)
        assert sample.higher_is_better == metric.higher_is_better, metric.name


def test_the_table_of_the_documentation_has_every_metric() -> None:
    table = render_table()
    assert all(f"| `{name}` |" in table for name in (*METRICS, JUDGE.name))


@pytest.mark.parametrize(
    ("name", "module"),
    [("rouge_l", "rapidfuzz"), ("edit_distance", "rapidfuzz"), ("bleu", "sacrebleu")],
)
def test_a_missing_library_is_named_with_its_install_command(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [_MissingLibrary(module), *sys.meta_path])
    with pytest.raises(ScoringError, match=f"`{name}` needs {module}") as caught:
        create_metrics([MetricChoice(name)])
    assert "pip install 'ftops[metrics]'" in caught.value.hint


class _MissingLibrary:
    """An import finder that hides a library."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == self._module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self._module)
