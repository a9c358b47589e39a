"""JUnit XML: a test case for each requirement, and no text becomes markup."""

from xml.etree import ElementTree as Xml

from ftops.reports.junit import render_junit
from tests.reports.evaluations import make_evaluation, make_hostile


def test_each_requirement_is_a_test_case_and_a_missed_one_fails() -> None:
    root = Xml.fromstring(render_junit(make_evaluation(), name="news"))
    (suite,) = root
    assert suite.attrib["name"] == "news"
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("2", "1")
    met, missed = suite
    assert met.attrib == {"classname": "ftops.news", "name": "accuracy >= 0.85"}
    assert len(met) == 0
    (failure,) = missed
    told = "missed: accuracy_over_naive_bayes > 0.2 (10.0%: may be chance)"
    assert failure.attrib["message"] == told


def test_no_text_becomes_markup_or_breaks_the_file() -> None:
    text = render_junit(make_hostile(), name="<a>&\x00\x1b\ud800")
    root = Xml.fromstring(text.encode("utf-8", "strict"))
    assert root.find(".//script") is None
    assert "<script>" in root[0][0].attrib["name"]
    assert "\x1b" not in text
