"""Values as YAML."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ftops.spec.problems import Report, Source
from ftops.spec.promptfoo.scalars import render_value
from ftops.spec.promptfoo.tree import to_value
from ftops.spec.reader import read_tree


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_text_reads_back_as_it_was(text: str) -> None:
    written = render_value({"a": [text, 1, None, True]})
    assert written.isprintable()
    assert yaml.safe_load(written) == {"a": [text, 1, None, True]}
    report = Report()
    root = read_tree(Source("x.yaml", written), report)
    assert root is not None
    assert report.problems == []
    assert to_value(root) == {"a": [text, 1, None, True]}
