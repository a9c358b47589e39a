"""Jobs: what is sent, sent once, and result again; events in order."""

import dataclasses
import json
from typing import Any

import httpx
import pytest
import respx

from ftops.capabilities import Capabilities
from ftops.errors import InvalidResponse, NotFound, Rejected, Unavailable, Unreachable
from ftops.http.response import MAX_PAGES
from ftops.providers.openai_request import render_request
from ftops.providers.provider import Provider
from ftops.providers.registry import get_capabilities
from ftops.records import (
    Hyperparameters,
    JobRequest,
    Json,
    Method,
    ProviderSettings,
)
from tests.fakes import FakeClock
from tests.providers.test_openai_response import JOB

REQUEST = JobRequest(
    model="gpt-4o-mini",
    training_file="file-t",
    suffix="news",
    metadata={"ftops_run": "run-1", "team": "search"},
)


def page(*items: Json, **more: Json) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": list(items), **more})


def event(number: int, *, created_at: int | None = None) -> dict[str, Json]:
    return {
        "id": f"ftevent-{number}",
        "created_at": created_at or 1790000000 + number,
        "message": "…",
    }


def sent(route: respx.Route, index: int = 0) -> Any:
    return json.loads(route.calls[index].request.content)


def test_only_what_was_set_is_sent(api: respx.MockRouter, provider: Provider) -> None:
    route = api.post("/fine_tuning/jobs").respond(json=JOB)
    assert provider.create_job(JobRequest("gpt-4o-mini", "file-t")).id == "ftjob-1"
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert sent(route) == {
        "model": "gpt-4o-mini",
        "training_file": "file-t",
        "method": {"type": "supervised", "supervised": {"hyperparameters": auto}},
    }


@pytest.mark.parametrize("key", [None, "run-1.2"])
def test_the_idempotency_key_is_a_header(
    api: respx.MockRouter, provider: Provider, key: str | None
) -> None:
    route = api.post("/fine_tuning/jobs").respond(json=JOB)
    provider.create_job(dataclasses.replace(REQUEST, idempotency_key=key))
    assert route.calls[0].request.headers.get("idempotency-key") == key


def test_everything_that_was_set_is_sent(api: respx.MockRouter, provider: Provider) -> None:
    route = api.post("/fine_tuning/jobs").respond(json=JOB)
    provider.create_job(
        JobRequest(
            model="gpt-4o-mini",
            training_file="file-t",
            validation_file="file-v",
            suffix="news",
            hyperparameters=Hyperparameters(3, 16, 0.5),
            seed=0,
            metadata={"team": "search"},
        )
    )
    figures = {"n_epochs": 3, "batch_size": 16, "learning_rate_multiplier": 0.5}
    assert sent(route) == {
        "model": "gpt-4o-mini",
        "training_file": "file-t",
        "validation_file": "file-v",
        "suffix": "news",
        "seed": 0,
        "metadata": {"team": "search"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": figures}},
    }


def test_options_of_pre_trained_models_are_hyperparameters() -> None:
    request = JobRequest(
        "small",
        "file-t",
        hyperparameters=Hyperparameters(
            learning_rate=1e-3, early_stopping={"patience": 2}, eval_every=5
        ),
        sections={"lora": {"rank": 8}},
    )
    sent = render_request(request, get_capabilities(ProviderSettings("local")))
    method: Any = sent["method"]
    assert method["supervised"]["hyperparameters"] == {
        "n_epochs": "auto",
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        "learning_rate": 1e-3,
        "eval_every": 5,
        "early_stopping": {"patience": 2},
        "lora": {"rank": 8},
    }


def test_a_preference_job_is_sent_with_its_method(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.post("/fine_tuning/jobs").respond(json=JOB)
    figures = Hyperparameters(n_epochs=2, beta=0.3)
    provider.create_job(JobRequest("gpt-4o", "file-t", hyperparameters=figures, method=Method.DPO))
    assert sent(route)["method"] == {
        "type": "dpo",
        "dpo": {
            "hyperparameters": {
                "n_epochs": 2,
                "batch_size": "auto",
                "learning_rate_multiplier": "auto",
                "beta": 0.3,
            }
        },
    }


def test_a_method_that_the_provider_does_not_offer_is_refused_before_sending() -> None:
    plain = Capabilities(suffix_max=64, hyperparameters=frozenset())
    with pytest.raises(Rejected, match="has no method dpo"):
        render_request(JobRequest("gpt-4o", "file-t", method=Method.DPO), plain)


def test_a_hyperparameter_that_would_be_ignored_is_refused_before_sending(
    api: respx.MockRouter, provider: Provider
) -> None:
    request = JobRequest(
        "gpt-4o-mini", "file-t", hyperparameters=Hyperparameters(prompt_loss_weight=0.1)
    )
    with pytest.raises(Rejected, match="prompt_loss_weight"):
        provider.create_job(request)
    assert not api.calls


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.Response(500), Unavailable),
        (httpx.Response(409, headers={"x-should-retry": "true"}), Rejected),
        (httpx.ReadTimeout("slow"), Unreachable),
        (httpx.ConnectError("refused"), Unreachable),
        (httpx.RemoteProtocolError("cut"), Unreachable),
        (httpx.Response(200, content=b'{"id": "ftj'), InvalidResponse),
    ],
)
def test_a_job_creation_is_sent_once_after_any_error(
    api: respx.MockRouter,
    provider: Provider,
    clock: FakeClock,
    error: Any,
    kind: type[Exception],
) -> None:
    route = api.post("/fine_tuning/jobs").mock(side_effect=[error])
    with pytest.raises(kind):
        provider.create_job(REQUEST)
    assert (route.call_count, clock.slept_s) == (1, [])


def test_the_retries_of_the_client_are_off(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1").mock(
        side_effect=[httpx.Response(500), httpx.Response(200, json=JOB)]
    )
    provider.get_job("ftjob-1")
    counts = [call.request.headers["x-stainless-retry-count"] for call in route.calls]
    assert counts == ["0", "0"]


def test_a_job_is_found_by_its_metadata(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/fine_tuning/jobs").mock(return_value=page(JOB, has_more=False))
    result = provider.find_job(REQUEST)
    assert result is not None
    assert result.id == "ftjob-1"
    assert route.calls[0].request.url.params["metadata[ftops_run]"] == "run-1"


def test_a_job_of_another_ledger_is_found_by_its_key(
    api: respx.MockRouter, provider: Provider
) -> None:
    job: Json = {**JOB, "metadata": {"ftops_run": "run-lost", "ftops_key": "abc"}}
    route = api.get("/fine_tuning/jobs").mock(return_value=page(job, has_more=False))
    result = provider.find_job(dataclasses.replace(REQUEST, metadata={"ftops_key": "abc"}))
    assert result is not None
    assert result.metadata["ftops_run"] == "run-lost"
    assert route.calls[0].request.url.params["metadata[ftops_key]"] == "abc"
    assert provider.find_job(dataclasses.replace(REQUEST, metadata={"ftops_key": "x"})) is None


def test_foreign_jobs_are_ignored_when_the_server_ignores_the_filter(
    api: respx.MockRouter, provider: Provider
) -> None:
    other: Json = {**JOB, "id": "ftjob-2", "metadata": {"ftops_run": "run-2"}}
    bare: Json = {**JOB, "id": "ftjob-3", "metadata": None}
    api.get("/fine_tuning/jobs").mock(return_value=page(other, bare, has_more=False))
    assert provider.find_job(REQUEST) is None
    api.get("/fine_tuning/jobs").mock(return_value=page(other, JOB, bare, has_more=False))
    result = provider.find_job(REQUEST)
    assert result is not None
    assert result.id == "ftjob-1"


def test_all_jobs_are_listed_when_the_server_rejects_the_filter(
    api: respx.MockRouter, provider: Provider
) -> None:
    error = {"error": {"message": "unknown parameter"}}
    api.get("/fine_tuning/jobs").mock(
        side_effect=[httpx.Response(400, json=error), page(JOB, has_more=False)]
    )
    assert provider.find_job(REQUEST) is not None


def test_without_metadata_a_job_is_found_by_its_parameters(
    api: respx.MockRouter, provider: Provider
) -> None:
    bare: dict[str, Json] = {**JOB, "metadata": None, "status": "running"}
    strangers: list[Json] = [
        {**bare, "id": "ftjob-a", "training_file": "file-x"},
        {**bare, "id": "ftjob-b", "user_provided_suffix": "other"},
        {**bare, "id": "ftjob-c", "model": "gpt-4.1"},
        {**bare, "id": "ftjob-d", "validation_file": "file-v"},
        {**bare, "id": "ftjob-e", "status": "failed"},
    ]
    filtered = page(has_more=False)
    api.get("/fine_tuning/jobs").mock(side_effect=[filtered, page(*strangers, has_more=False)])
    assert provider.find_job(REQUEST) is None
    api.get("/fine_tuning/jobs").mock(
        side_effect=[filtered, page(*strangers, bare, has_more=False)]
    )
    result = provider.find_job(REQUEST)
    assert result is not None
    assert result.id == "ftjob-1"


def test_events_of_several_pages_are_oldest_first(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[
            page(event(5), event(4), has_more=True),
            page(event(3), event(2), has_more=True),
            page(event(1), has_more=False),
        ]
    )
    events = provider.list_events("ftjob-1", known=frozenset())
    assert [each.id for each in events] == [f"ftevent-{number}" for number in range(1, 6)]
    afters = [call.request.url.params.get("after") for call in route.calls]
    assert afters == [None, "ftevent-4", "ftevent-2"]


def test_paging_stops_at_a_known_event(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[page(event(5), event(4), event(3), has_more=True)]
    )
    events = provider.list_events("ftjob-1", known=frozenset({"ftevent-3", "ftevent-2"}))
    assert [each.id for each in events] == ["ftevent-4", "ftevent-5"]
    assert route.call_count == 1


@pytest.mark.parametrize("known", [frozenset[str](), frozenset({"ftevent-1"})])
def test_a_page_missing_once_loses_no_event(
    api: respx.MockRouter, provider: Provider, known: frozenset[str]
) -> None:
    whole = page(event(3), event(2), event(1), has_more=False)
    api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[page(has_more=False), whole, whole]
    )
    events = provider.list_events("ftjob-1", known=known)
    assert [each.id for each in events if each.id not in known][-2:] == ["ftevent-2", "ftevent-3"]


def test_missing_old_events_are_accepted_the_second_time(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        return_value=page(event(5), event(4), has_more=False)
    )
    events = provider.list_events("ftjob-1", known=frozenset({"ftevent-3"}))
    assert [each.id for each in events] == ["ftevent-4", "ftevent-5"]
    assert route.call_count < 5


def test_events_of_the_same_second_keep_the_server_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        return_value=page(
            *(event(number, created_at=1790000000) for number in (3, 2, 1)), has_more=False
        )
    )
    events = provider.list_events("ftjob-1", known=frozenset())
    assert [each.id for each in events] == ["ftevent-1", "ftevent-2", "ftevent-3"]


def test_a_page_without_has_more_is_followed_until_an_empty_one(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[page(event(2)), page(event(1)), page()]
    )
    assert len(provider.list_events("ftjob-1", known=frozenset())) == 2
    assert route.call_count == 3


def test_a_page_wrongly_marked_as_last_loses_no_event(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[
            page(event(6), event(5), has_more=False),
            page(event(4), event(3), has_more=False),
            page(event(2), event(1), has_more=False),
        ]
    )
    events = provider.list_events("ftjob-1", known=frozenset({"ftevent-1", "ftevent-2"}))
    assert [each.id for each in events] == [f"ftevent-{number}" for number in range(3, 7)]
    assert [call.request.url.params.get("after") for call in route.calls][1:] == [
        "ftevent-5",
        "ftevent-3",
    ]


def test_a_full_first_page_marked_as_last_is_not_trusted(
    api: respx.MockRouter, provider: Provider
) -> None:
    newest = [event(number) for number in range(150, 50, -1)]
    oldest = [event(number) for number in range(50, 0, -1)]
    api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[page(*newest, has_more=False), page(*oldest, has_more=False)]
    )
    assert len(provider.list_events("ftjob-1", known=frozenset())) == 150


def test_dropped_known_events_are_requested_once_more(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[page(event(6), has_more=False), page(has_more=False)] * 2
    )
    assert len(provider.list_events("ftjob-1", known=frozenset({"ftevent-1"}))) == 1
    assert route.call_count == 4  # a gap is requested once more, in pages and from the beginning


def test_has_more_of_an_empty_page_is_not_trusted(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(return_value=page(has_more=True))
    assert provider.list_events("ftjob-1", known=frozenset()) == []
    assert route.call_count == 2  # a list without events is requested once more


def test_a_server_that_always_repeats_its_first_page_is_detected(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        return_value=page(event(2), event(1), event(1), has_more=True)
    )
    events = provider.list_events("ftjob-1", known=frozenset())
    assert [each.id for each in events] == ["ftevent-1", "ftevent-2"]
    assert route.call_count == 2


def test_an_endless_list_is_an_invalid_response(api: respx.MockRouter, provider: Provider) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events")
    route.mock(side_effect=lambda request: page(event(10**6 - route.call_count), has_more=True))
    with pytest.raises(InvalidResponse, match="does not end"):
        provider.list_events("ftjob-1", known=frozenset())
    assert route.call_count == MAX_PAGES


def test_a_list_with_the_oldest_first_is_read_to_the_end(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=[page(event(1), event(2), has_more=True), page(event(3), has_more=False)]
    )
    events = provider.list_events("ftjob-1", known=frozenset({"ftevent-1"}))
    assert [each.id for each in events] == ["ftevent-2", "ftevent-3"]


def test_cancelling_twice_is_no_error(api: respx.MockRouter, provider: Provider) -> None:
    error = {"error": {"message": "already cancelled", "code": None}}
    api.post("/fine_tuning/jobs/ftjob-1/cancel").respond(400, json=error)
    api.get("/fine_tuning/jobs/ftjob-1").respond(json={**JOB, "status": "cancelled"})
    assert provider.cancel_job("ftjob-1").status == "cancelled"


def test_cancelling_a_finished_job_is_refused_with_the_server_message(
    api: respx.MockRouter, provider: Provider
) -> None:
    error = {"error": {"message": "Job has already completed."}}
    api.post("/fine_tuning/jobs/ftjob-1/cancel").respond(400, json=error)
    api.get("/fine_tuning/jobs/ftjob-1").respond(json=JOB)
    with pytest.raises(Rejected, match="already completed"):
        provider.cancel_job("ftjob-1")


def checkpoint(step: int, **more: Json) -> dict[str, Json]:
    return {
        "id": f"ftckpt-{step}",
        "fine_tuned_model_checkpoint": f"ft:m:ckpt-step-{step}",
        "step_number": step,
        "metrics": {"step": step, "valid_loss": 0.5, "full_valid_loss": None},
        **more,
    }


def test_checkpoints_of_all_pages_are_sorted_by_step(
    api: respx.MockRouter, provider: Provider
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/checkpoints")
    route.side_effect = [
        page(checkpoint(30), checkpoint(20), has_more=True),
        page(checkpoint(10), has_more=False),
    ]
    result = provider.list_checkpoints("ftjob-1")
    assert [checkpoint.step for checkpoint in result] == [10, 20, 30]
    assert result[0].model == "ft:m:ckpt-step-10"
    assert result[0].metrics == {"step": 10.0, "valid_loss": 0.5}
    assert route.calls[1].request.url.params["after"] == "ftckpt-20"


def test_a_checkpoint_without_a_step_is_an_invalid_response(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.get("/fine_tuning/jobs/ftjob-1/checkpoints").mock(
        return_value=page(checkpoint(1, step_number=None), has_more=False)
    )
    with pytest.raises(InvalidResponse, match="step_number"):
        provider.list_checkpoints("ftjob-1")


@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize("known", [frozenset(), frozenset({"ftevent-1"})])
def test_events_are_read_without_a_cursor_that_the_server_refuses(
    api: respx.MockRouter, provider: Provider, known: frozenset[str], status: int
) -> None:
    newest = page(*[event(number) for number in range(200, 100, -1)], has_more=True)
    route = api.get("/fine_tuning/jobs/ftjob-1/events").mock(
        side_effect=lambda request: (
            httpx.Response(status, json={"error": {"message": "unknown cursor"}})
            if "after" in request.url.params
            else newest
        )
    )
    events = provider.list_events("ftjob-1", known=known)
    assert [each.id for each in events] == [f"ftevent-{number}" for number in range(101, 201)]
    assert route.call_count == (4 if known else 2)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_events_is_reported_at_once(
    api: respx.MockRouter, provider: Provider, clock: FakeClock, status: int
) -> None:
    route = api.get("/fine_tuning/jobs/ftjob-1/events").respond(status)
    with pytest.raises((NotFound, Rejected)) as caught:
        provider.list_events("ftjob-1", known=frozenset())
    assert (caught.value.status, route.call_count, clock.slept_s) == (status, 1, [])


def test_a_response_about_another_job_is_invalid(api: respx.MockRouter, provider: Provider) -> None:
    api.get("/fine_tuning/jobs/ftjob-2").respond(json={"id": "request-7", "status": "failed"})
    with pytest.raises(InvalidResponse, match="ftjob-2: the response is about 'request-7'"):
        provider.get_job("ftjob-2")
