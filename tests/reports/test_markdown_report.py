"""The Markdown report has all parts, and texts of data and providers are escaped."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftops.reports.markdown_report import escape, render_markdown
from tests.reports.pages import make_sliced
from tests.reports.sample_runs import HOSTILE, make_contents, make_facts


def test_all_parts_of_a_report_have_their_heading() -> None:
    text = render_markdown(make_contents())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert headings == [
        "news-topics",
        "In short",
        "What was run",
        "Training",
        "Evaluation",
        "What tuned takes for what",
        "By label",
        "The worst rows",
        "Side by side",
        "Data",
        "Lineage",
    ]
    assert "tuned is better than few-shot: 5 by" in text
    assert "| politics | science | 5 of 60 | 8% |" in text


def test_slices_and_the_rows_to_keep_have_tables() -> None:
    text = render_markdown(make_sliced())
    assert "### Slice language: de: test.jsonl (40 rows)" in text
    assert "| tuned | 90.0% (85.0 to 95.0%) |" in text


def test_compared_runs_are_side_by_side() -> None:
    text = render_markdown(make_contents(make_facts(id="run-a"), make_facts(id="run-b")))
    assert "| fact | news-topics (run-a) | news-topics (run-b) |" in text
    assert "## Runs compared" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<img src=x>", r"\<img src=x\>"),
        ("[x](javascript:hit)", r"\[x\](javascript:hit)"),
        ("a|b", r"a\|b"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("9.0 min", "9.0 min"),
        ("two\nlines", "two lines"),
        ("https://example.com", "https:\u200b//example.com"),
        ("@somebody", "@\u200bsomebody"),
        ("`code`", r"\`code\`"),
    ],
)
def test_markdown_syntax_is_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text(max_size=60))
def test_no_text_adds_html_a_cell_or_a_line(text: str) -> None:
    escaped = escape(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[<|\[]", escaped)
    assert "\n" not in escaped and "\r" not in escaped


def test_a_job_file_with_fences_does_not_end_its_block() -> None:
    facts = make_facts(hostile="\n````\n<script>hit(1)</script>")
    text = render_markdown(make_contents(facts))
    fence = "`" * 5
    assert text.count(f"{fence}yaml") == 1
    assert text.count(fence) == 2


def test_hostile_texts_become_no_html() -> None:
    text = render_markdown(make_contents(make_facts(hostile=HOSTILE)))
    outside = re.sub(r"(`{3,})yaml\n.*?\1", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<(script|img)", outside)
