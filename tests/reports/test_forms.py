"""Reports as JSON and PNG."""

import json
import struct

import pytest

from ftops.cli.output import render_json
from ftops.errors import RunError
from ftops.evaluation.result import Evaluation
from ftops.records import RunStatus
from ftops.reports.charts import truncate_middle
from ftops.reports.contents import build
from ftops.reports.json_report import create_document
from ftops.reports.png_report import list_parts, render_picture
from ftops.reports.run_facts import RunFacts
from ftops.reports.training import create_training
from tests.reports.sample_runs import (
    HOSTILE,
    NOW,
    make_contents,
    make_facts,
    make_results,
    make_run,
)


def test_the_json_document_has_the_stored_evaluation() -> None:
    contents = make_contents()
    document = json.loads(render_json(create_document(contents)))
    (run,) = document["runs"]
    assert Evaluation.from_json(run["evaluation"]) == contents.runs[0].facts.evaluation
    assert run["training"]["lowest_valid_loss_step"] == 300
    assert run["confusions"][0]["pairs"][0] == {
        "expected": "sports",
        "predicted": "politics",
        "count": 8,
        "rows": 60,
    }
    assert document["made_at"] == int(NOW.timestamp())


def test_a_run_without_data_has_a_document() -> None:
    document = create_document(build([RunFacts(make_run(status=RunStatus.FAILED), [])], NOW))
    (run,) = json.loads(json.dumps(document))["runs"]
    assert run["evaluation"] is None
    assert run["missing"][0] == "The run failed, and no reason is known"


def test_an_image_has_curves_candidates_and_confusion_matrices() -> None:
    contents = make_contents()
    assert len(list_parts(contents)) == 4
    width, height = read_size(render_picture(contents))
    assert width > 1_200
    assert height > 1_800


def test_hostile_texts_are_rendered_as_an_image() -> None:
    contents = make_contents(make_facts(hostile=HOSTILE), make_facts(name="other"))
    assert read_size(render_picture(contents))[0] > 1_200


def test_a_run_without_results_and_evaluation_has_no_image() -> None:
    with pytest.raises(RunError, match="nothing to draw"):
        render_picture(build([RunFacts(make_run(), [])], NOW))


def test_a_single_step_can_be_rendered() -> None:
    facts = RunFacts(make_run(), [], training=create_training(make_results(1)))
    assert read_size(render_picture(build([facts], NOW)))[1] > 500


def read_size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_an_image_has_a_legend_of_colours_and_marks() -> None:
    (title, *_) = [part["title"]["text"] for part in list_parts(make_contents())]
    for text in (
        "training (blue)",
        "validation (orange)",
        "lowest validation loss (diamond)",
        "checkpoint to prefer (upright line)",
    ):
        assert text in title


def test_runs_of_the_same_name_have_distinct_bar_labels() -> None:
    names = [f"a-long-name-of-a-job (run-20261123-0512-{end})" for end in ("xa88", "wht8")]
    cut = [truncate_middle(name, 30) for name in names]
    assert len(set(cut)) == 2
    assert max(map(len, cut)) <= 31
    assert truncate_middle("short", 30) == "short"
