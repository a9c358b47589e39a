"""Runs as JSON documents."""

import json
from pathlib import Path

import pytest

from ftops.errors import ExportFailed
from ftops.exports.run_data import RunData
from tests.exports.runs import RUN_ID, export_run, make_hostile_run, make_run


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, f"exports/{RUN_ID}.json"),
        ({"file": "out.json"}, "out.json"),
        ({"file": "all/"}, f"all/{RUN_ID}.json"),
    ],
)
def test_an_exported_run_is_read_back_whole(
    tmp_path: Path, settings: dict[str, str], path: str
) -> None:
    run = make_run()
    assert export_run(tmp_path, "json", run, **settings) == str(tmp_path / path)
    document = json.loads((tmp_path / path).read_text())
    assert document["version"] == 1
    assert RunData.from_json(document) == run


def test_nan_and_infinity_are_null(tmp_path: Path) -> None:
    document = json.loads(Path(export_run(tmp_path, "json", make_hostile_run())).read_text())
    assert document["metrics"][0]["value"] is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(ExportFailed, match=r"^export: json: .*taken"):
        export_run(tmp_path, "json", make_run(), file="taken/x.json")
