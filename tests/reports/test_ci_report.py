"""The summary for CI: complete, and without markup from names."""

import re
from dataclasses import replace
from xml.etree import ElementTree as Xml

from ftops.evaluation.result import KEEP
from ftops.metrics.result import Verdict
from ftops.reports.ci_report import escape, render_junit, render_markdown
from tests.reports.evaluations import HOSTILE, make_comparison, make_evaluation, make_hostile


def test_the_summary_has_requirements_candidates_comparisons_and_skipped_ones() -> None:
    evaluation = make_evaluation(make_comparison("naive Bayes", 0.1, Verdict.BETTER))
    text = render_markdown(evaluation, name="news")
    plain = text.replace("\\", "")
    assert plain.startswith("## news: 1 of 2 requirements missed\n")
    for part in (
        "**The tuned model is better than naive Bayes.**",
        "- ✅ accuracy >= 0.85 (90.0%)".replace(">", ">"),
        "- ❌ accuracy_over_naive_bayes > 0.2 (10.0%: may be chance)",
        "| tuned | 90.0% (85.0–95.0) |  |",
        "- base: it knows nothing",
        "- one note",
    ):
        assert part in plain


def test_the_summary_compares_slices_and_the_rows_to_keep() -> None:
    part = replace(make_evaluation(make_comparison("base", -0.1, Verdict.WORSE)), name=KEEP)
    text = render_markdown(replace(make_evaluation(), parts=(part,)), name="news")
    assert "- keep: tuned is worse than base by 10.0 points of accuracy" in text.replace("\\", "")


def test_no_text_becomes_markup() -> None:
    text = render_markdown(make_hostile(), name=HOSTILE)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not re.search(r"(?<!\\)\[link", text)
    assert not re.search(r"(?<!\\)`code", text)
    assert not re.search(r"^# head", text, re.M)


def test_a_text_cannot_end_its_cell_or_line() -> None:
    shown = escape("a|b\nc\u2028d")
    assert shown == "a\\|b c d"


def test_each_requirement_is_a_test_case_and_a_missed_one_fails() -> None:
    root = Xml.fromstring(render_junit(make_evaluation(), name="news"))
    (suite,) = root
    assert suite.attrib["name"] == "news"
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    met, missed = suite
    assert met.attrib == {"classname": "ftops.news", "name": "accuracy >= 0.85"}
    assert len(met) == 0
    (failure,) = missed
    message = "missed: accuracy_over_naive_bayes > 0.2 (10.0%: may be chance)"
    assert failure.attrib["message"] == message


def test_the_suite_says_what_answered() -> None:
    evaluation = make_evaluation()
    first = replace(evaluation.candidates[0], system_fingerprints=("llama.cpp fp32",))
    changed = replace(evaluation, candidates=(first, *evaluation.candidates[1:]))
    suite = Xml.fromstring(render_junit(changed, name="news"))[0]
    (entry,) = suite.findall("properties/property")
    assert entry.attrib == {"name": "tuned.system_fingerprint", "value": "llama.cpp fp32"}


def test_no_text_becomes_markup_or_breaks_the_file() -> None:
    text = render_junit(make_hostile(), name="<a>&\x00\x1b\ud800")
    root = Xml.fromstring(text.encode("utf-8", "strict"))
    assert root.find(".//script") is None
    assert "<script>" in root[0][0].attrib["name"]
    assert "\x1b" not in text
