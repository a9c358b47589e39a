"""Missing values of the table are computed where possible; existing values are kept."""

from datetime import UTC, datetime

from ftops.records import JobEvent, Json
from ftops.reports.results import ResultRow, parse_results
from ftops.reports.training import TrainingFacts, create_training, find_total_steps, read_event_rows


def rows(count: int) -> list[ResultRow]:
    return [ResultRow(step, 1.0) for step in range(1, count + 1)]


def test_epochs_and_rows_follow_from_steps_rows_and_batch_size() -> None:
    training = create_training(rows(6), TrainingFacts(rows=10, batch_size=4))
    assert [row.epoch for row in training.rows] == [1, 1, 1, 2, 2, 2]
    assert [row.rows_seen for row in training.rows] == [4, 8, 10, 14, 18, 20]
    assert training.epoch_ends == [3]


def test_without_rows_the_number_of_epochs_divides_the_steps() -> None:
    training = create_training(rows(6), TrainingFacts(n_epochs=3))
    assert [row.epoch for row in training.rows] == [1, 1, 2, 2, 3, 3]
    assert training.rows[0].rows_seen is None


def test_the_total_steps_of_a_running_job_are_used() -> None:
    training = create_training(rows(4), TrainingFacts(n_epochs=3, total_steps=12))
    assert [row.epoch for row in training.rows] == [1, 1, 1, 1]


def test_epochs_are_computed_from_the_rows_of_a_legacy_table() -> None:
    content = b"step,elapsed_examples,training_loss\n1,5,1\n2,10,1\n3,15,1\n4,20,1\n"
    training = create_training(parse_results(content), TrainingFacts(rows=10))
    assert [row.epoch for row in training.rows] == [1, 1, 2, 2]


def test_trained_tokens_are_distributed_over_the_steps() -> None:
    training = create_training(rows(4), TrainingFacts(trained_tokens=1000))
    assert [row.tokens_seen for row in training.rows] == [250, 500, 750, 1000]


def test_values_of_the_provider_are_never_replaced() -> None:
    reported = [ResultRow(1, 1.0, epoch=7, rows_seen=3, tokens_seen=11)]
    facts = TrainingFacts(rows=10, batch_size=4, n_epochs=1, trained_tokens=999)
    assert create_training(reported, facts).rows == reported


def test_unordered_and_repeated_steps_are_sorted_and_unique() -> None:
    training = create_training([ResultRow(2, 0.5), ResultRow(1, 1.0), ResultRow(2, 0.25)])
    assert [(row.step, row.train_loss) for row in training.rows] == [(1, 1.0), (2, 0.25)]


def test_the_epoch_of_a_step_is_found() -> None:
    training = create_training(rows(6), TrainingFacts(n_epochs=3))
    assert [training.find_epoch(step) for step in (1, 4, 99)] == [1, 2, 3]
    assert create_training(rows(3)).find_epoch(2) is None


def test_a_training_without_steps_has_no_rows() -> None:
    facts = TrainingFacts(rows=80, batch_size=4, n_epochs=3, trained_tokens=900)
    assert list(create_training((), facts).rows) == []


NOW = datetime(2026, 11, 22, 14, 7, tzinfo=UTC)


def event(**data: Json) -> JobEvent:
    return JobEvent("e", NOW, "info", "…", "metrics", data)


def test_the_metrics_of_an_event_become_a_row_of_the_table() -> None:
    metrics_event = event(
        step=45, total_steps=450, train_loss=0.5, train_mean_token_accuracy=0.75, valid_loss=0.6
    )
    assert read_event_rows([metrics_event]) == [ResultRow(45, 0.5, 0.75, 0.6)]
    assert find_total_steps([metrics_event]) == 450


def test_several_events_of_a_step_become_one_row() -> None:
    merged = read_event_rows(
        [event(step=2, train_loss=0.5), event(step=1, train_loss=1), event(step=2, valid_loss=0.6)]
    )
    assert [(row.step, row.train_loss, row.valid_loss) for row in merged] == [
        (1, 1.0, None),
        (2, 0.5, 0.6),
    ]


def test_events_without_metrics_have_no_row() -> None:
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
