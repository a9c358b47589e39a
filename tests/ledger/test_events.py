"""Events are stored once, in the order of arrival, and marked when they are shown."""

from ftops.ledger.ledger import Ledger
from ftops.records import JobEvent
from tests.ledger.rows import START, make_event, make_run


def test_an_event_that_arrives_twice_is_stored_once_in_its_first_position(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    ledger.add_events(run.id, "ftjob-1", [make_event(1), make_event(2)])
    ledger.add_events(run.id, "ftjob-1", [make_event(2, "other words"), make_event(3)])
    assert ledger.list_events(run.id) == [make_event(1), make_event(2), make_event(3)]
    assert ledger.list_event_ids(run.id, "ftjob-1") == {"event-1", "event-2", "event-3"}


def test_two_jobs_of_a_run_may_use_the_same_event_ids(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    ledger.add_events(run.id, "ftjob-1", [make_event(1)])
    ledger.add_events(run.id, "ftjob-2", [make_event(1, "of the second job")])
    assert [event.message for event in ledger.list_events(run.id)] == ["hello", "of the second job"]
    assert ledger.list_event_ids(run.id, "ftjob-2") == {"event-1"}


def test_shown_events_are_no_longer_listed_as_unshown(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    ledger.add_events(run.id, "ftjob-1", [make_event(1), make_event(2)])
    first = ledger.list_stored_events(run.id, unshown=True)[0]
    ledger.mark_shown([first.number])
    assert ledger.list_events(run.id, unshown=True) == [make_event(2)]
    assert len(ledger.list_events(run.id)) == 2
    assert [
        stored.event.id for stored in ledger.list_stored_events(run.id, after=first.number)
    ] == ["event-2"]
    assert ledger.get_last_number(run.id) == first.number + 1


def test_state_changes_are_no_job_events(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    assert ledger.list_events(run.id) == []
    assert ledger.list_events(run.id, unshown=True) == []


def test_hostile_numbers_and_texts_of_a_provider_are_stored(ledger: Ledger) -> None:
    run = ledger.add_run(make_run(), if_absent=False)
    event = JobEvent(
        id="event-1",
        created_at=START,
        level="info",
        message="half \ud83d of a pair\x00\x1b[2J",
        data={"loss": float("nan"), "big": 10**40, "list": ["\udc00", {"x": 10**400}]},
    )
    ledger.add_events(run.id, "ftjob-1", [event])
    (stored,) = ledger.list_events(run.id)
    assert stored.message == "half ? of a pair\x00\x1b[2J"
    assert dict(stored.data) == {"loss": None, "big": 1e40, "list": ["?", {"x": None}]}
