"""Metrics are named in a job file, and a wrong name or setting is told in plain words."""

import sys
from pathlib import Path

import pytest

from ftops.errors import ScoringError
from ftops.metrics.choices import KNOWN, MetricChoice, name_choices, read_choice
from ftops.metrics.making import choose_metrics, make_metrics
from ftops.records import Json
from tests.metrics.answered import answer, draw_labels, draw_texts


def test_a_metric_is_a_name_or_a_name_with_settings() -> None:
    assert read_choice("f1") == MetricChoice("f1")
    assert read_choice({"regex": "^a"}) == MetricChoice("regex", {"pattern": "^a"})
    assert read_choice({"regex": {"pattern": "^a", "name": "letter"}}).settings["name"] == "letter"
    assert read_choice({"auroc": None}) == MetricChoice("auroc")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("f2", "there is no metric `f2`; there are accuracy"),
        ({"f2": 1}, "there is no metric `f2`"),
        ({"f1": "x"}, "takes no value"),
        ({"regex": {"patern": "x"}}, "takes no `patern`; it takes name, pattern"),
        ({"regex": 3}, "`pattern` of `regex` is text, not 3"),
        ({"max_chars": "12"}, "is a whole number, not '12'"),
        ({"max_chars": 0}, "1 or more"),
        ({"max_chars": True}, "is a whole number"),
        ("regex", "`regex` needs `pattern`"),
        ({"python": {}}, "needs `function`"),
        ({"a": 1, "b": 2}, "a metric is a name"),
        (3, "a metric is a name"),
        (["f1"], "a metric is a name"),
    ],
)
def test_what_is_no_metric_is_refused(value: Json, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_choice(value)


def test_two_metrics_of_one_name_need_names_of_their_own() -> None:
    twice = [MetricChoice("regex", {"pattern": one}) for one in "ab"]
    with pytest.raises(ValueError, match="two metrics are called `regex`"):
        name_choices(twice)
    named = [twice[0], MetricChoice("regex", {"pattern": "b", "name": "b"})]
    assert [one.name for one in make_metrics(named)] == ["regex", "b"]


def test_every_known_metric_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("{}")
    (tmp_path / "check.py").write_text("def score(prompt, expected, given):\n    return 1\n")
    settings: dict[str, dict[str, Json]] = {
        "json_schema": {"file": "schema.json"},
        "regex": {"pattern": "."},
        "max_chars": {"max": 5},
        "python": {"function": "check.py:score"},
    }
    made = make_metrics(
        [MetricChoice(name, settings.get(name, {})) for name in KNOWN], folder=tmp_path
    )
    assert [one.name for one in made] == list(KNOWN)
    answers = draw_labels(60, 1)
    assert all(one.measure(answers).rows or one.measure(answers).notes for one in made)


def test_metrics_are_chosen_by_what_is_expected() -> None:
    assert [one.name for one in choose_metrics(draw_labels(60, 1))] == ["accuracy", "f1"]
    texts = [one.name for one in choose_metrics(draw_texts(60, 1))]
    assert texts == ["exact_match", "token_f1", "rouge_l"]
    assert choose_metrics(answer([("a", "a"), ("b", "b")]), labels=["a", "b"])[0].name == "accuracy"


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
        make_metrics([MetricChoice(name)])
    assert "pip install 'ftops[metrics]'" in caught.value.hint


class _Without:
    """An installation that lacks one library."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == self._module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self._module)
