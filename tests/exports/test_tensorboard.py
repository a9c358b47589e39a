"""Runs in TensorBoard's event files, read with TensorBoard's own accumulator."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from ftops.exports.run_data import TrainingCurve
from tests.exports.runs import RUN_ID, STARTED, export_run, make_hostile_run, make_run

pytestmark = pytest.mark.timeout(300)


def read_events(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
    return events


def list_points(events: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_an_exported_run_is_read_back_whole(tmp_path: Path) -> None:
    location = export_run(tmp_path, "tensorboard", make_run(), folder="logs")
    assert location == str(tmp_path / "logs" / f"news_topics_1-{RUN_ID}")
    events = read_events(Path(location))
    assert list_points(events, "train_loss") == [(1, 3.0), (2, 1.5), (3, 1.0), (4, 0.75)]
    assert list_points(events, "valid_loss") == [(4, 0.75)]
    assert list_points(events, "eval/tuned/accuracy") == [(4, 0.9375)]
    assert list_points(events, "eval/few-shot: 5/accuracy_high") == [(4, 0.625)]
    assert events.Scalars("train_loss")[0].wall_time == STARTED + 60
    (lineage,) = events.Tensors("lineage")
    text = lineage.tensor_proto.string_val[0].decode()
    assert f"| `training_sha256` | `{'ab' * 32}` |" in text
    assert "| `model` | `ft:ada:local:news:1` |" in text


def test_parameters_are_hyperparameters_of_tensorboard(tmp_path: Path) -> None:
    location = export_run(tmp_path, "tensorboard", make_run())
    metadata = read_events(Path(location)).SummaryMetadata("_hparams_/session_start_info")
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    info = parse_session_start_info_plugin_data(metadata.plugin_data.content)
    assert info.hparams["base_model"].string_value == "ada"
    assert info.hparams["n_epochs"].number_value == 3
    assert info.group_name == RUN_ID


def test_a_second_export_of_a_run_replaces_the_first(tmp_path: Path) -> None:
    for steps in (2, 3):
        location = Path(export_run(tmp_path, "tensorboard", make_run(steps=steps)))
    assert len(list(location.iterdir())) == 1
    assert list_points(read_events(location), "train_loss") == [(1, 3.0), (2, 1.5), (3, 1.0)]


def test_names_and_values_of_any_kind_are_written(tmp_path: Path) -> None:
    events = read_events(Path(export_run(tmp_path, "tensorboard", make_hostile_run())))
    assert list_points(events, "../../loss") == [(1, 1.0), (2, 2.0)]
    assert math.isnan(events.Scalars("loss*")[1].value)
    assert list_points(events, "/" + "x" * 400) == [(1, math.inf)]


def test_ten_thousand_steps_are_written(tmp_path: Path) -> None:
    steps = tuple(range(10_000))
    curve = TrainingCurve("train_loss", steps, tuple(float(step) for step in steps))
    events = read_events(Path(export_run(tmp_path, "tensorboard", make_run(curves=(curve,)))))
    assert list_points(events, "train_loss") == list(zip(steps, curve.values, strict=True))
