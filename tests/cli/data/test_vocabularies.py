"""`--fetch` asks for nothing that is not known or not wanted."""

import pytest

from ftops.cli.data.options import fetch_missing


def test_a_vocabulary_that_is_no_file_is_not_fetched() -> None:
    fetch_missing(["", "engine", "no_such_base"], pytest.fail)
