"""The page is small and complete, and no text of data or providers becomes markup."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ftops.metrics.prediction import Prediction
from ftops.metrics.result import MetricResult
from ftops.records import Chat, Message
from ftops.reports import figures
from ftops.reports.chart_rendering import render_svg, sanitize_svg
from ftops.reports.charts import NARROW, SERIES, WIDE, Bar, draw_bars
from ftops.reports.charts import PAGE as PAGE_COLORS
from ftops.reports.format import show
from ftops.reports.html_report import escape_data, render_page
from tests.reports import pages
from tests.reports.sample_runs import HOSTILE, make_contents, make_facts, make_results

PAGE = render_page(make_contents())
FEW = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # shrinking a page takes minutes
)


class Outline(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self) -> dict[str, int]:
        tags = [tag for tag, _ in self.elements]
        return {tag: tags.count(tag) for tag in set(tags)}


def test_a_typical_report_is_far_below_2_megabytes() -> None:
    assert len(PAGE.encode()) < 300_000


def test_a_page_has_no_external_address() -> None:
    for tag, attributes in Outline(PAGE).elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, value)
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", PAGE)
    assert "@import" not in PAGE


def test_the_policy_allows_only_the_script_and_style_sheet_of_the_page() -> None:
    (policy,) = (
        attributes["content"]
        for tag, attributes in Outline(PAGE).elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy


def test_hostile_texts_everywhere_add_no_element_and_no_attribute() -> None:
    plain, hostile = Outline(PAGE), Outline(render_page(make_contents(make_facts(hostile=HOSTILE))))
    assert hostile.count()["script"] == plain.count()["script"] == 2
    assert "img" not in hostile.count()
    names = {name for _, attributes in hostile.elements for name in attributes}
    assert not any(name.startswith("on") or name == "style" for name in names)
    assert "<script>hit(1)</script>" in "".join(hostile.texts)


def test_control_characters_are_shown_escaped() -> None:
    page = render_page(make_contents(make_facts(hostile=HOSTILE)))
    assert "\x1b" not in page and "\\u001b" in page


@FEW
@given(st.text(min_size=1, max_size=40))
def test_any_text_is_shown_unchanged_and_adds_no_element(text: str) -> None:
    predictions = [Prediction(1, Chat((Message("user", text),)), text, text + "x")]
    page = pages.render_rows(predictions, name=text)
    outline = Outline(page)
    assert outline.count()["script"] == 2
    assert outline.count()["section"] == 6
    page.encode("utf-8")


@FEW
@given(st.text(min_size=1, max_size=60))
@example("😀" * 60)
@example("\U0001d573\u0301" * 40)
def test_any_name_can_be_rendered_and_adds_no_element_to_a_chart(name: str) -> None:
    bars = [
        Bar(show(name, 60), MetricResult(0.5, 0.4, 0.6, 9)),
        Bar("plain", MetricResult(0.4, None, None, 9)),
    ]
    for width in (WIDE, NARROW):
        svg = render_svg(draw_bars(bars, "accuracy", PAGE_COLORS, width))
        fitted = sanitize_svg(svg, name=show(name), prefix="p", kind="wide")
        assert set(Outline(fitted).count()) <= {"svg", "g", "path", "line", "text", "rect"}


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_data_in_a_script_element_cannot_end_it_and_is_read_back(value: object) -> None:
    clean = pages.without_surrogates(value)
    text = escape_data(clean)
    assert not set(text) & {"<", ">", "&", "\u2028", "\u2029"}
    assert json.loads(text) == clean


def test_only_shapes_and_texts_of_a_chart_are_copied_into_a_page() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        ' width="10" height="10"><script>hit(1)</script><foreignObject><p>x</p></foreignObject>'
        '<a xlink:href="https://example.com"><text>y</text></a><image href="https://example.com"/>'
        '<g onclick="hit(2)" style="x"><path d="M0,0" fill="url(https://example.com)"/></g></svg>'
    )
    fitted = sanitize_svg(svg, name='"><script>', prefix="p", kind="wide")
    for part in ("hit", "foreignObject", "image", "href", "onclick", "style", "example"):
        assert part not in fitted
    assert '<path d="M0,0"' in fitted
    assert 'aria-label="&quot;&gt;&lt;script&gt;"' in fitted


def test_headings_are_in_order_and_tables_have_row_and_column_headers() -> None:
    outline = Outline(PAGE)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    heads = [attributes for tag, attributes in outline.elements if tag == "th"]
    assert heads and all(attributes.get("scope") in ("row", "col") for attributes in heads)


def test_each_chart_has_a_descriptive_name() -> None:
    charts = [attrs for tag, attrs in Outline(PAGE).elements if tag == "svg" and "role" in attrs]
    assert len(charts) == 6
    names = [attrs["aria-label"] or "" for attrs in charts]
    assert any("validation is lowest at step 300" in name for name in names)
    assert any(re.search(r"tuned 91\.7% \(8\d\.\d to 9\d\.\d%\)", name) for name in names)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_lines_have_enough_contrast_in_both_themes(theme: str) -> None:
    colors = pages.read_colors(theme)
    for name in ("ink", "faint", "link", "good", "bad", "warn", "open"):
        for background in ("paper", "panel"):
            assert pages.contrast(colors[name], colors[background]) >= 4.5, (name, background)
    for number in range(SERIES):
        assert pages.contrast(colors[f"s{number}"], colors["paper"]) >= 4.5, number
    assert pages.contrast(colors["ink"], colors["mark"]) >= 4.5
    for name, share in pages.list_shades():
        shade = pages.mix(colors[name], colors["paper"], share)
        assert pages.contrast(colors["ink"], shade) >= 4.5, (name, share)


def test_the_chosen_dark_theme_equals_the_dark_theme_of_the_system() -> None:
    chosen, preferred = pages.read_dark_themes()
    assert chosen == preferred


def test_several_runs_share_a_chart() -> None:
    contents = make_contents(
        make_facts(id="run-a"), make_facts(id="run-b", results=lambda: make_results(900, 7))
    )
    loss, accuracy = figures.list_curves(contents)
    assert [curve.name for curve in loss.curves] == ["news-topics (run-a)", "news-topics (run-b)"]
    assert len(accuracy.curves) == 2
    assert len(figures.list_leaderboard_bars(contents)) == 2
    page = render_page(contents)
    assert "Evaluation: news-topics (run-b)" in page
    assert len(page.encode()) < 600_000


def test_many_classes_and_long_texts_stay_below_2_megabytes() -> None:
    labels = [f"relation number {number} of a person" for number in range(80)]
    facts = make_facts(labels=labels, rows=2_400, hostile=" and so on" * 400)
    assert len(render_page(make_contents(facts)).encode()) < 2_000_000


def test_a_run_without_data_has_a_page() -> None:
    page = pages.render_bare()
    assert "There are no training curves." in page
    assert "No evaluation: the run has not reached the stage evaluate." in "".join(
        Outline(page).texts
    )


def test_only_a_model_from_random_weights_is_marked() -> None:
    assert "trained from random weights" in render_page(pages.make_local("ada"))
    assert "trained from random weights" not in render_page(pages.make_local("smollm2-135m"))


def test_slices_and_the_rows_to_keep_have_tables() -> None:
    outline = Outline(render_page(pages.make_sliced()))
    assert "Slice language: de: test.jsonl (40 rows)" in outline.texts


def test_bidirectional_control_characters_are_made_visible() -> None:
    page = render_page(make_contents(make_facts(hostile="abc\u202edef\u2066")))
    assert "\u202e" not in page
    assert "\u2066" not in page
    assert "abc\\u202edef" in page


def test_the_summary_of_an_over_fitted_run_says_so() -> None:
    short = render_page(make_contents()).split('id="run"')[0]
    assert "overfitting: " in short
