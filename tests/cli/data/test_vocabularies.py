"""`--fetch` downloads only known vocabularies."""

import pytest

from ftops.cli.data.options import fetch_missing


def test_an_unknown_vocabulary_is_not_downloaded() -> None:
    fetch_missing(["", "engine", "no_such_base"], pytest.fail)
