"""Options in the words of the section `evaluate`, and what is wrong with them."""

import pytest

from ftops.errors import UsageError
from ftops.metrics.choices import KNOWN
from ftops.spec.candidates import FewShotCandidate
from ftops.spec.evaluate import EvaluateSpec
from ftops.spec.evaluation_options import read_evaluation_options
from ftops.spec.measures import METRICS


def read(
    against: tuple[str, ...] = (), metrics: tuple[str, ...] = (), require: tuple[str, ...] = ()
) -> EvaluateSpec:
    return read_evaluation_options(against, metrics, require, environ={})


def test_options_say_what_the_section_says() -> None:
    spec = read(
        ("base", "few-shot: {examples: 3, selection: nearest}", "model: gpt-6-luna"),
        ("f1", 'regex: "^[AB]$"'),
        ("accuracy >= 0.85", "f1_over_base > 3%"),
    )
    assert [one.word for one in spec.candidates] == ["base", "few-shot", "model"]
    assert spec.candidates[1].settings == FewShotCandidate(examples=3, selection="nearest")
    assert [one.word for one in spec.measures] == ["f1", "regex"]
    assert spec.requirements == {"accuracy": ">= 0.85", "f1_over_base": "> 3%"}


def test_the_blank_after_a_colon_may_be_missing_as_a_shell_wants_no_quotes_then() -> None:
    tight = read(("few-shot:3", "few-shot=4", "model:ft:ada:x"), ("regex:^[0-9]+:$",))
    spaced = read(("few-shot: 3", "few-shot: 4", "model: ft:ada:x"), ('regex: "^[0-9]+:$"',))
    assert (tight.candidates, tight.measures) == (spaced.candidates, spaced.measures)


def test_without_options_the_defaults_hold() -> None:
    assert read() == EvaluateSpec()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"against": ("bas",)}, "--against 'bas': unknown name 'bas'"),
        ({"against": ("base", "few-shot")}, "--against 'few-shot': few-shot needs something"),
        ({"metrics": ("acuracy",)}, "--metric 'acuracy': unknown name"),
        ({"require": ("accuracy",)}, "--require 'accuracy': a requirement compares"),
        ({"require": ("accuracy >= good",)}, "--require accuracy: accuracy must be a comparison"),
    ],
)
def test_a_mistake_names_its_option(options: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**options)
    assert told in caught.value.message


def test_every_metric_that_there_is_can_be_named_with_the_settings_that_it_takes() -> None:
    assert set(METRICS) == {*KNOWN, "judge"}
    for name, settings in KNOWN.items():
        section = METRICS[name].section
        assert {one.name for one in settings} == set(section.model_fields if section else ()) - {
            "name"
        }
        assert METRICS[name].alone == (not any(one.needed for one in settings))
