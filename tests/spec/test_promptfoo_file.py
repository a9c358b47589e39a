"""Templates of promptfoo: rendering and escaping."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ftops.spec.problem import ProblemReport, SourceText
from ftops.spec.promptfoo_file import (
    escape_template,
    render_template,
    to_value,
    uses_variable,
)
from ftops.spec.yaml_reader import parse_yaml, render_value

BITS = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", "{{ x }}", "{% raw %}", "file://a", "package:b", "\n", "a"]
)
TEXTS = st.lists(BITS | st.text(max_size=3), max_size=6).map("".join)


@given(TEXTS)
def test_an_escaped_text_renders_as_that_text(text: str) -> None:
    template = escape_template(text)
    assert render_template(template, {}) == text
    assert not template.startswith(("file://", "package:"))


@given(TEXTS, TEXTS)
def test_values_of_variables_are_unchanged(before: str, value: str) -> None:
    template = escape_template(before) + "{{ it }}"
    assert render_template(template, {"it": escape_template(value)}) == before + value


def test_values_may_have_variables() -> None:
    values = {"a": "<{{b}}>", "b": "c"}
    assert render_template("{{a}} {{ b }}", values) == "<c> c"


def test_the_expansion_of_recursive_values_ends() -> None:
    assert "{{a}}" in render_template("{{a}}", {"a": "x{{a}}"})


@pytest.mark.parametrize(
    "template", ["{{ a | upper }}", "{% if a %}b{% endif %}", "{{ a", "{{ 1 + 1 }}"]
)
def test_expressions_and_statements_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="is not a variable in double braces"):
        render_template(template, {"a": "1"})


def test_an_undefined_variable_is_reported_with_its_name() -> None:
    with pytest.raises(ValueError, match="no test has the variable 'b'"):
        render_template("{{ b }}", {})


def test_comments_are_removed() -> None:
    assert render_template("a{# b #}c", {}) == "ac"


def test_a_text_that_ends_raw_blocks_cannot_be_escaped() -> None:
    with pytest.raises(ValueError, match="endraw"):
        escape_template("{{ x }} {% endraw %}")


def test_a_variable_is_matched_by_its_full_name() -> None:
    assert uses_variable("a {{ row }} b", "row")
    assert not uses_variable("a {{ rows }} b {{row", "row")


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_text_round_trips_through_yaml(text: str) -> None:
    written = render_value({"a": [text, 1, None, True]})
    assert written.isprintable()
    assert yaml.safe_load(written) == {"a": [text, 1, None, True]}
    report = ProblemReport()
    root = parse_yaml(SourceText("x.yaml", written), report)
    assert root is not None
    assert report.problems == []
    assert to_value(root) == {"a": [text, 1, None, True]}
