"""Reports in a real browser: rendering, requests, accessibility and script injection."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ftops.reports.html_report import render_page
from tests.reports.browser import open_page, start_browser
from tests.reports.pages import render_bare
from tests.reports.sample_runs import HOSTILE, make_contents, make_facts, make_results

_BACKGROUND = "getComputedStyle(document.body).backgroundColor"
_PAINTED = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
_MARKS = """() => [...document.querySelectorAll('svg.chart')]
  .filter((one) => one.getClientRects().length)
  .map((one) => [...one.querySelectorAll('path, line, text')]
    .filter((mark) => mark.getBBox().width + mark.getBBox().height > 0).length)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_browser() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("report"), render_page(make_contents()))


def write_page(folder: Path, page: str) -> Path:
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def test_the_page_sends_no_request_and_logs_no_error(browser: Browser, report: Path) -> None:
    with open_page(browser, report) as opened:
        opened.page.click("#theme")
        opened.page.emulate_media(media="print")
        assert opened.requests == [report.as_uri()]
        assert opened.complaints == []


def test_all_charts_are_rendered(browser: Browser, report: Path) -> None:
    with open_page(browser, report) as opened:
        marks = opened.page.evaluate(_MARKS)
        assert len(marks) == 3
        assert min(marks) > 15


def test_several_runs_and_a_run_without_data_are_rendered_without_errors(
    browser: Browser, tmp_path: Path
) -> None:
    several = make_contents(
        make_facts(id="run-a"), make_facts(id="run-b", results=lambda: make_results(2_000, 5, 0))
    )
    for page, charts in ((render_page(several), 5), (render_bare(), 0)):
        with open_page(browser, write_page(tmp_path, page)) as opened:
            assert len(opened.page.evaluate(_MARKS)) == charts
            assert opened.complaints == []


def test_texts_of_data_and_providers_are_never_executed(browser: Browser, tmp_path: Path) -> None:
    path = write_page(tmp_path, render_page(make_contents(make_facts(hostile=HOSTILE))))
    with open_page(browser, path) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach((o) => o.open = true)")
        opened.page.evaluate(_PAINTED)
        assert opened.page.evaluate("window.hits") == []
        assert opened.page.locator("img").count() == 0
        assert opened.requests == [path.as_uri()]
        assert opened.complaints == []
        assert "<script>hit(1)</script>" in opened.page.inner_text("main")


def test_injected_markup_is_not_executed(browser: Browser, tmp_path: Path) -> None:
    page = render_page(make_contents())
    planted = "<img src=x onerror=hit(1)><script>hit(2)</script><style>body{display:none}</style>"
    path = write_page(tmp_path, page.replace("<main>", f"<main>{planted}", 1))
    with open_page(browser, path) as opened:
        opened.page.evaluate(_PAINTED)
        assert opened.page.evaluate("window.hits") == []
        assert opened.page.evaluate("getComputedStyle(document.body).display") == "block"
        assert len(opened.complaints) >= 3  # the browser logs what it refused


def test_the_theme_follows_the_system_and_the_button(browser: Browser, report: Path) -> None:
    with open_page(browser, report, dark=True) as opened:
        dark = opened.page.evaluate(_BACKGROUND)
        button = opened.page.get_by_role("button", name="Light theme")
        button.focus()
        opened.page.keyboard.press("Enter")
        light = opened.page.evaluate(_BACKGROUND)
        assert (dark, light) == ("rgb(20, 24, 29)", "rgb(255, 255, 255)")
        assert opened.page.get_by_role("button", name="Dark theme").is_visible()
    with open_page(browser, report) as opened:
        assert opened.page.evaluate(_BACKGROUND) == light


def test_a_dark_page_is_printed_on_white_with_all_sections_open(
    browser: Browser, report: Path
) -> None:
    with open_page(browser, report, dark=True) as opened:
        opened.page.evaluate("document.documentElement.dataset.theme = 'dark'")
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert opened.page.evaluate(_BACKGROUND) == "rgb(255, 255, 255)"
        assert not opened.page.locator("#theme").is_visible()
        opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert opened.page.locator("details:not([open])").count() == 0
        opened.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert opened.page.locator("details[open]").count() == 0
        assert opened.page.pdf(format="A4").startswith(b"%PDF")
    with open_page(browser, report, width=720) as opened:  # the width of A4 without margins
        opened.page.emulate_media(media="print")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 720


@pytest.mark.parametrize("width", [360, 768, 1_400])
def test_a_page_never_scrolls_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    labels = [f"a_rather_long_label_without_a_space_{number}" for number in range(30)]
    facts = make_facts(labels=labels, rows=300, hostile="wide" * 40)
    path = write_page(tmp_path, render_page(make_contents(facts, make_facts(id="run-b"))))
    with open_page(browser, path, width=width) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        kind = "narrow" if width < 640 else "wide"
        assert opened.page.locator(f"svg.chart.{kind}").first.is_visible()


def test_a_screen_reader_finds_names_for_charts_tables_and_sections(
    browser: Browser, report: Path
) -> None:
    with open_page(browser, report) as opened:
        page = opened.page
        assert page.get_by_role("img", name="Loss by step").count() == 1
        assert page.get_by_role("img", name="accuracy, with 95% intervals").count() == 1
        assert page.get_by_role("table", name="Confusion matrix").count() == 1
        assert page.get_by_role("region", name="Evaluation").count() == 1
        assert page.get_by_role("navigation", name="Contents").count() == 1
        assert page.get_by_role("columnheader", name="politics").count() == 1


def test_curves_are_read_with_the_arrow_keys(browser: Browser, report: Path) -> None:
    with open_page(browser, report) as opened:
        slider = opened.page.get_by_role("slider", name="Step of Loss by step")
        slider.focus()
        readout = opened.page.locator(".readout").first
        assert readout.inner_text().startswith("step 450: training 0.")
        opened.page.keyboard.press("Home")
        assert slider.get_attribute("aria-valuenow") == "0"
        for _ in range(4):
            opened.page.keyboard.press("PageUp")
        value_text = slider.get_attribute("aria-valuetext")
        assert value_text is not None and value_text.startswith("step 180: training 0.")
        assert "validation 1." in value_text
        assert readout.inner_text() == value_text


def test_curves_are_read_with_the_pointer(browser: Browser, report: Path) -> None:
    with open_page(browser, report) as opened:
        slider = opened.page.get_by_role("slider", name="Step of Loss by step")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None and box["width"] > 400 and box["height"] > 150
        opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        text = opened.page.locator(".readout").first.inner_text()
        assert text.startswith(("step 225:", "step 224:", "step 226:"))


def test_every_control_is_reached_with_the_tab_key(browser: Browser, report: Path) -> None:
    with open_page(browser, report) as opened:
        focused = set()
        for _ in range(40):
            opened.page.keyboard.press("Tab")
            focused.add(
                opened.page.evaluate(
                    "document.activeElement.getAttribute('role') ?? document.activeElement.tagName"
                )
            )
        assert {"BUTTON", "A", "SUMMARY", "slider", "region"} <= focused


def test_a_matrix_of_sixteen_labels_is_fully_visible(browser: Browser, tmp_path: Path) -> None:
    labels = [f"relation of the kind {number}" for number in range(16)]
    path = write_page(tmp_path, render_page(make_contents(make_facts(labels=labels, rows=320))))
    with open_page(browser, path, width=1_100) as opened:
        width = "document.querySelector('.matrix').parentElement.{}"
        assert opened.page.evaluate(width.format("scrollWidth")) <= opened.page.evaluate(
            width.format("clientWidth")
        )
