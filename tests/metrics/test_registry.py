"""Metrics are named in a job file, and a wrong name or setting is told in plain words."""

import sys
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.evaluation.scoring import choose_default_metrics
from ftops.metrics.metric import create_metrics
from ftops.metrics.prediction import Prediction
from ftops.metrics.registry import JUDGE, METRICS, MetricChoice, render_table
from ftops.records import Json, ToolCall
from tests.metrics.predictions import answer, draw_labels, draw_texts


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


def test_two_metrics_of_one_name_need_names_of_their_own() -> None:
    twice = [MetricChoice("regex", {"pattern": one}) for one in "ab"]
    with pytest.raises(ValueError, match="two metrics are called `regex`"):
        create_metrics(twice)
    named = [twice[0], MetricChoice("regex", {"pattern": "b", "name": "b"})]
    assert [one.name for one in create_metrics(named)] == ["regex", "b"]


def test_every_registered_metric_can_be_created(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "check.py").write_text("def score(prompt, expected, given):\n    return 1\n")
    settings: dict[str, dict[str, Json]] = {
        "json_schema": {"file": "schema.json"},
        "regex": {"pattern": "."},
        "max_chars": {"max": 5},
        "python": {"function": "check.py:score"},
    }
    made = create_metrics(
        [MetricChoice(name, settings.get(name, {})) for name in METRICS], folder=tmp_path
    )
    assert [one.name for one in made] == list(METRICS)
    assert [one.unit for one in made] == [metric.unit for metric in METRICS.values()]
    answers = draw_labels(60, 1)
    assert all(one.measure(answers).rows or one.measure(answers).notes for one in made)


def test_metrics_are_chosen_by_what_is_expected() -> None:
    assert [one.name for one in choose_default_metrics(draw_labels(60, 1))] == ["accuracy", "f1"]
    texts = [one.name for one in choose_default_metrics(draw_texts(60, 1))]
    assert texts == ["exact_match", "token_f1", "rouge_l"]
    objects = choose_default_metrics(answer([(f'{{"a": {n}}}', "") for n in range(9)]))
    assert [one.name for one in objects] == ["json_fields", "exact_match", "json_valid"]
    calls = choose_default_metrics(
        [Prediction(1, "q", "", "", expected_calls=(ToolCall("f", ""),))]
    )
    assert calls[0].name == "tool_call_exact"
    assert (
        choose_default_metrics(answer([("a", "a"), ("b", "b")]), labels=["a", "b"])[0].name
        == "accuracy"
    )


def test_the_direction_of_each_metric_is_that_of_its_sample(tmp_path: Path) -> None:
    answers = draw_labels(60, 1)
    for metric in METRICS.values():
        if metric.needs_settings or metric.needs_probabilities:
            continue
        (created,) = create_metrics([MetricChoice(metric.name)])
        sample = created.measure(answers)
        assert sample.higher_is_better == metric.higher_is_better, metric.name


def test_the_table_of_the_documentation_has_every_metric() -> None:
    table = render_table()
    assert all(f"| `{name}` |" in table for name in (*METRICS, JUDGE.name))


@pytest.mark.parametrize(
    ("name", "module"),
    [("rouge_l", "rapidfuzz"), ("edit_distance", "rapidfuzz"), ("bleu", "sacrebleu")],
)
def test_a_library_that_is_missing_is_named_with_what_to_install(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [one for one in sys.modules if one.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [_Without(module), *sys.meta_path])
    with pytest.raises(ScoringError, match=f"`{name}` needs {module}") as caught:
        create_metrics([MetricChoice(name)])
    assert "pip install 'ftops[metrics]'" in caught.value.hint


class _Without:
    """An installation that lacks one library."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == self._module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self._module)
