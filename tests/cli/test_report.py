"""`ftops report`: formats, atomic output, and errors."""

import json
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ftops.clock import SystemClock
from ftops.ledger.ledger import Ledger
from ftops.records import RunId
from tests.cli.running import ftops
from tests.reports.sample_runs import make_candidates, make_evaluation, make_run


@pytest.fixture
def home(temporary_home: Path) -> Path:
    """A home with two runs: one with results and an evaluation, one without."""
    temporary_home.mkdir(parents=True)
    with closing(Ledger(temporary_home / "ledger.db", SystemClock())) as ledger:
        run = ledger.add_run(make_run(), if_absent=False)
        ledger.add_run(make_run(id=RunId("run-bare"), name="bare", key="b"), if_absent=False)
    folder = temporary_home / "runs" / run.id
    folder.mkdir(parents=True)
    evaluation = make_evaluation(make_candidates())
    (folder / "evaluation.json").write_bytes(orjson.dumps(evaluation.to_json()))
    (folder / "results.csv").write_text("step,train_loss\n1,2.5\n2,1.5\n", encoding="utf-8")
    return temporary_home


def test_one_command_writes_a_report_in_every_format(home: Path, tmp_path: Path) -> None:
    names = [tmp_path / f"report{suffix}" for suffix in (".html", ".md", ".json", ".png")]
    options = [word for name in names for word in ("-o", str(name))]
    result = ftops("report", "news-topics", *options, "--json")
    assert result.code == 0, result.err
    assert result.document["run_ids"] == ["run-20261122-1407-k3f9"]
    assert result.document["files"] == [
        {"file": str(name), "bytes": name.stat().st_size} for name in names
    ]
    assert names[0].read_text(encoding="utf-8").startswith("<!doctype html>")
    assert names[1].read_text(encoding="utf-8").startswith("# news-topics\n")
    assert json.loads(names[2].read_text(encoding="utf-8"))["version"] == 1
    assert names[3].read_bytes().startswith(b"\x89PNG")


def test_the_default_file_is_report_html(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ftops("report", "news-topics", "--quiet")
    assert result.out == "report.html\n"
    assert (tmp_path / "report.html").is_file()


def test_several_runs_are_compared_without_duplicates(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "both.md"
    result = ftops("report", "news-topics", "bare", "news-topics", "-o", target, "--json")
    assert result.document["run_ids"] == ["run-20261122-1407-k3f9", "run-bare"]
    text = target.read_text(encoding="utf-8")
    assert "| fact | news-topics | bare |" in text
    assert "No training curves" in text


def test_an_unknown_suffix_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    result = ftops("report", "no-such-run", "-o", tmp_path / "report.docx")
    assert result.code == 2
    assert "a report is one of .html" in result.err
    assert "Name a file with one of these suffixes" in result.err


def test_an_unknown_run_is_an_error_and_nothing_is_written(home: Path, tmp_path: Path) -> None:
    result = ftops("report", "nothing-like-it", "-o", tmp_path / "report.md")
    assert result.code == 1
    assert "nothing-like-it" in result.err
    assert not list(tmp_path.glob("report*"))


def test_an_image_of_a_run_without_figures_is_refused(home: Path, tmp_path: Path) -> None:
    result = ftops("report", "bare", "-o", tmp_path / "report.png")
    assert result.code == 1
    assert "nothing to draw" in result.err
    assert not list(tmp_path.glob("report*"))


def test_an_unwritable_folder_is_reported(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = ftops("report", "news-topics", "-o", tmp_path / "file" / "report.md")
    assert result.code == 1
    assert "cannot write" in result.err or "Not a directory" in result.err


def test_without_the_extra_other_formats_name_the_package_to_install(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vl_convert", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    assert ftops("report", "news-topics", "-o", tmp_path / "r.md").code == 0
    assert ftops("report", "news-topics", "-o", tmp_path / "r.json").code == 0
    for suffix in (".html", ".png"):
        result = ftops("report", "news-topics", "-o", tmp_path / f"r{suffix}")
        assert result.code == 1
        assert "pip install 'ftops[report]'" in result.err


def test_a_failed_image_leaves_no_other_format_of_the_report(home: Path, tmp_path: Path) -> None:
    page, picture = tmp_path / "bare.html", tmp_path / "bare.png"
    assert ftops("report", "bare", "-o", page, "-o", picture).code == 1
    assert not page.exists()
