"""Exports a run to TensorBoard: one event file with curves, metrics, parameters and lineage.

The file always has the same name, so a second export replaces it.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftops.exports.run_data import RunData
from ftops.files import write_atomic

_FOLDER = "tensorboard"
_FORMAT = "brain.Event:2"


def write(run: RunData, settings: Mapping[str, str], folder: Path) -> str:
    """Write the event file to a folder for the run; returns the folder."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    target = folder / settings.get("folder", _FOLDER) / f"{_clean(run.name)}-{run.id}"
    path = target / f"events.out.tfevents.{int(run.started_at)}.{run.id}"
    content = io.BytesIO()
    writer = RecordWriter(content)
    for event in _list_events(run):
        writer.write(event.SerializeToString())
    write_atomic(path, content.getvalue(), mode=0o644)
    return str(target)


# Any: the library creates its message classes at run time, without types.
def _list_events(run: RunData) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    def scalar(tag: str, step: int, value: float) -> Any:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        return Event(wall_time=run.ended_at, step=step, summary=summary)

    yield Event(wall_time=run.started_at, file_version=_FORMAT)
    for summary in _list_summaries(run):
        yield Event(wall_time=run.started_at, step=0, summary=summary)
    for curve in run.curves:
        for step, value in zip(curve.steps, curve.values, strict=True):
            yield scalar(curve.name, step, value)
    for tag, value in run.list_scalars().items():
        yield scalar(tag, _get_last_step(run), value)


def _get_last_step(run: RunData) -> int:
    return max((curve.steps[-1] for curve in run.curves), default=0)


def _list_summaries(run: RunData) -> Iterator[Any]:
    """Parameters for the hyperparameter page, lineage and tags as text."""
    from tensorboard.plugins.hparams import summary_v2 as hparams
    from tensorboard.plugins.text.summary_v2 import text_pb

    metrics = [hparams.Metric(tag) for tag in run.list_scalars()]
    parameters = [hparams.HParam(name) for name in run.parameters]
    yield hparams.hparams_config_pb(parameters, metrics, time_created_secs=run.started_at)
    yield hparams.hparams_pb(dict(run.parameters), trial_id=run.id, start_time_secs=run.started_at)
    yield text_pb("lineage", _render_table(run.lineage.to_tags()))
    yield text_pb("tags", _render_table({**run.tags, "status": run.status}))


def _render_table(values: Mapping[str, str]) -> str:
    """A Markdown table whose cells contain no markup."""
    rows = [f"| {_quote(name)} | {_quote(value)} |" for name, value in values.items()]
    return "\n".join(["| name | value |", "| --- | --- |", *rows])


def _quote(text: str) -> str:
    shown = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`"


def _clean(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name).lstrip(".")
