"""What the legacy protocol calls things, and which figures it chooses."""

from dataclasses import replace

import pytest

from ftops.engine import legacy
from ftops.engine.hyperparameters import JobHyperparameters
from ftops.engine.store import EventRow, JobRow, JobStatus
from ftops.records import Json

AUTO = JobHyperparameters(4, "auto", "auto", 0.01, None)
JOB = JobRow(
    id="ft-abc",
    status=JobStatus.QUEUED,
    model="curie",
    base="curie",
    training_file="file-1",
    validation_file=None,
    suffix=None,
    seed=1,
    metadata=legacy.make_metadata("org-acme"),
    hyperparameters={},
    created_at=0,
)
NOW = 1795377722  # 2026-11-22 20:02:02 UTC


def event(key: str, message: str = "", **data: Json) -> EventRow:
    return EventRow(1, key, "ftevent-1", 5, "info", message, "message", data)


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "multiplier"),
    [(1, 1, 0.05), (720, 1, 0.05), (2000, 4, 0.1), (40_000, 80, 0.2), (1_000_000, 256, 0.2)],
)
def test_batches_are_a_share_of_the_rows_and_decide_the_multiplier(
    n_rows: int, batch_size: int, multiplier: float
) -> None:
    settled = legacy.with_defaults(AUTO, n_rows)
    assert (settled.n_epochs, settled.batch_size) == (4, batch_size)
    assert settled.learning_rate_multiplier == multiplier


def test_figures_that_were_given_stay() -> None:
    given = replace(AUTO, batch_size=8, learning_rate_multiplier=0.3)
    assert legacy.with_defaults(given, 1_000_000) == given


def test_a_multiplier_that_was_not_given_follows_from_the_batch_that_was() -> None:
    settled = legacy.with_defaults(replace(AUTO, batch_size=100), 10)
    assert settled.learning_rate_multiplier == 0.2


def test_a_model_is_named_after_base_organization_suffix_and_time() -> None:
    named = replace(JOB, suffix="My model_name")
    assert (
        legacy.free_model_name(named, NOW, lambda name: False)
        == "curie:ft-org-acme:my-model-name-2026-11-22-20-02-02"
    )


def test_two_models_of_one_second_get_two_names() -> None:
    taken = {"curie:ft-org-acme-2026-11-22-20-02-02"}
    name = legacy.free_model_name(JOB, NOW, taken.__contains__)
    assert name == "curie:ft-org-acme-2026-11-22-20-02-03"


@pytest.mark.parametrize(
    ("header", "name"),
    [(None, "team"), ("", "team"), ("org-A1", "org-A1"), ("../x y:z", "x-y-z"), ("…", "team")],
)
def test_an_organization_is_only_letters_digits_and_hyphens(header: str | None, name: str) -> None:
    assert legacy.parse_organization(header, "team") == name


def test_checks_and_single_steps_are_no_legacy_events() -> None:
    assert legacy.list_messages("ft-abc", event("checking")) == ()
    assert legacy.list_messages("ft-abc", event("step:3", "Step 3/9")) == ()


def test_an_event_has_the_words_of_that_service_and_its_own_numbers() -> None:
    def lines(key: str, **data: Json) -> tuple[str, ...]:
        return legacy.list_messages("ft-abc", event(key, "in other words", **data))

    assert lines("queued", queue_position=3) == (
        "Fine-tune costs $0.00",
        "Fine-tune enqueued. Queue number: 3",
    )
    assert lines("epoch:2", epoch=2, n_epochs=4) == ("Completed epoch 2/4",)
    assert lines("queue:1", queue_position=1) == ("Fine-tune is in the queue. Queue number: 1",)
    assert lines("model", fine_tuned_model="ada:x") == ("Uploaded model: ada:x",)
    assert lines("failed", reason="line 2: no") == ("Fine-tune failed. line 2: no",)
    assert lines("succeeded") == ("Uploaded result file: file-cba", "Fine-tune succeeded")


def test_results_without_validation_have_no_columns_for_it() -> None:
    titles = list(legacy.result_columns(validated=False))
    assert titles == [
        "step",
        "elapsed_tokens",
        "elapsed_examples",
        "training_loss",
        "training_sequence_accuracy",
        "training_token_accuracy",
    ]
    assert len(legacy.result_columns(validated=True)) == 9


def test_f_scores_are_titled_with_a_decimal() -> None:
    figures = {"classification/f1": 1.0, "classification/f0.5": 0.5, "classification/auroc": 0.1}
    assert legacy.result_metrics(figures) == {
        "classification/f1.0": 1.0,
        "classification/f0.5": 0.5,
        "classification/auroc": 0.1,
    }
