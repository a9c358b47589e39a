"""Events become rows of the table, whatever they carry beside their figures."""

from datetime import UTC, datetime

from ftops.records import JobEvent, Json
from ftops.reports.live_rows import find_total_steps, read_event_rows
from ftops.reports.results import ResultRow

NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)


def event(**data: Json) -> JobEvent:
    return JobEvent("e", NOW, "info", "…", "metrics", data)


def test_the_figures_of_an_event_become_a_row_under_the_names_of_the_table() -> None:
    told = event(
        step=45, total_steps=450, train_loss=0.5, train_mean_token_accuracy=0.75, valid_loss=0.6
    )
    assert read_event_rows([told]) == [ResultRow(45, 0.5, 0.75, 0.6)]
    assert find_total_steps([told]) == 450


def test_what_several_events_tell_of_a_step_stands_in_one_row() -> None:
    found = read_event_rows(
        [event(step=2, train_loss=0.5), event(step=1, train_loss=1), event(step=2, valid_loss=0.6)]
    )
    assert [(row.step, row.train_loss, row.valid_loss) for row in found] == [
        (1, 1.0, None),
        (2, 0.5, 0.6),
    ]


def test_events_without_figures_give_no_row() -> None:
    for odd in (
        event(),
        event(step=3),
        event(step=3, epoch=1),
        event(step="3", train_loss=0.5),
        event(step=True, train_loss=0.5),
        event(step=3, train_loss=float("nan")),
        event(step=3, valid_loss=-1.0),
        event(train_loss=0.5),
    ):
        assert read_event_rows([odd]) == []
    assert find_total_steps([event()]) is None
