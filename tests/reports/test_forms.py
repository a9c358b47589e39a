"""JSON and PNG hold the same report."""

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
from tests.reports.sketches import HOSTILE, NOW, make_contents, make_facts, make_results, make_run


def test_the_json_document_holds_the_evaluation_as_it_is_kept() -> None:
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


def test_a_bare_run_has_a_document_too() -> None:
    document = create_document(build([RunFacts(make_run(status=RunStatus.FAILED), [])], NOW))
    (run,) = json.loads(json.dumps(document))["runs"]
    assert run["evaluation"] is None
    assert run["missing"][0] == "The run failed, and no reason is known"


def test_a_picture_has_curves_candidates_and_confusions_below_each_other() -> None:
    contents = make_contents()
    assert len(list_parts(contents)) == 4
    width, height = read_size(render_picture(contents))
    assert width > 1_200
    assert height > 1_800


def test_a_picture_of_hostile_texts_is_a_picture() -> None:
    contents = make_contents(make_facts(hostile=HOSTILE), make_facts(name="other"))
    assert read_size(render_picture(contents))[0] > 1_200


def test_a_run_without_results_and_evaluation_is_no_picture() -> None:
    with pytest.raises(RunError, match="nothing to draw"):
        render_picture(build([RunFacts(make_run(), [])], NOW))


def test_a_single_step_can_be_drawn() -> None:
    facts = RunFacts(make_run(), [], training=create_training(make_results(1)))
    assert read_size(render_picture(build([facts], NOW)))[1] > 500


def read_size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_picture_says_what_each_colour_and_mark_is() -> None:
    (title, *_) = [part["title"]["text"] for part in list_parts(make_contents())]
    for told in (
        "training (blue)",
        "validation (orange)",
        "lowest validation loss (diamond)",
        "checkpoint to prefer (upright line)",
    ):
        assert told in title


def test_runs_of_one_name_are_told_apart_beside_their_bars() -> None:
    names = [f"a-long-name-of-a-job (run-20261123-0512-{end})" for end in ("xa88", "wht8")]
    cut = [truncate_middle(name, 30) for name in names]
    assert len(set(cut)) == 2
    assert max(map(len, cut)) <= 31
    assert truncate_middle("short", 30) == "short"
