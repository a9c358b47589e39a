"""What the table does not say is computed where it follows, and what it says is left as it is."""

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


def test_of_a_job_under_way_the_steps_to_come_count() -> None:
    training = create_training(rows(4), TrainingFacts(n_epochs=3, total_steps=12))
    assert [row.epoch for row in training.rows] == [1, 1, 1, 1]


def test_the_legacy_tables_rows_tell_the_epochs() -> None:
    content = b"step,elapsed_examples,training_loss\n1,5,1\n2,10,1\n3,15,1\n4,20,1\n"
    training = create_training(parse_results(content), TrainingFacts(rows=10))
    assert [row.epoch for row in training.rows] == [1, 1, 2, 2]


def test_trained_tokens_are_spread_over_the_steps() -> None:
    training = create_training(rows(4), TrainingFacts(trained_tokens=1000))
    assert [row.tokens_seen for row in training.rows] == [250, 500, 750, 1000]


def test_what_the_provider_told_is_never_replaced() -> None:
    told = [ResultRow(1, 1.0, epoch=7, rows_seen=3, tokens_seen=11)]
    facts = TrainingFacts(rows=10, batch_size=4, n_epochs=1, trained_tokens=999)
    assert create_training(told, facts).rows == told


def test_steps_out_of_order_or_told_twice_come_once_and_in_order() -> None:
    training = create_training([ResultRow(2, 0.5), ResultRow(1, 1.0), ResultRow(2, 0.25)])
    assert [(row.step, row.train_loss) for row in training.rows] == [(1, 1.0), (2, 0.25)]


def test_a_step_finds_its_epoch() -> None:
    training = create_training(rows(6), TrainingFacts(n_epochs=3))
    assert [training.find_epoch(step) for step in (1, 4, 99)] == [1, 2, 3]
    assert create_training(rows(3)).find_epoch(2) is None


def test_a_training_without_steps_has_nothing_to_fill_in() -> None:
    facts = TrainingFacts(rows=80, batch_size=4, n_epochs=3, trained_tokens=900)
    assert list(create_training((), facts).rows) == []


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
