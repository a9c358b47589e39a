"""Moderation: what is sent, what is read, and which providers offer it."""

import json

import httpx
import pytest
import respx

from ftops.errors import AuthFailed, InvalidResponse, ProviderError, RateLimited, Rejected
from ftops.providers.provider import Provider
from ftops.providers.registry import require_moderation
from ftops.records import Json, ProviderSettings
from tests.fakes import FakeClock
from tests.providers.conftest import Bench


def make_result(*categories: str, flagged: bool = True) -> dict[str, Json]:
    known: dict[str, Json] = {"harassment": False, "self-harm/intent": None, "violence": False}
    return {
        "flagged": flagged and bool(categories),
        "categories": {**known, **dict.fromkeys(categories, True)},
        "category_scores": {"violence": 0.5},
    }


def test_texts_are_sent_as_one_list_and_categories_keep_their_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    results: Json = [make_result("violence", "harassment"), make_result(), make_result("violence")]
    route = api.post("/moderations").respond(json={"id": "modr-1", "results": results})
    assert provider.moderate(["a", "b", "c"]) == [("harassment", "violence"), (), ("violence",)]
    assert json.loads(route.calls[0].request.content) == {
        "model": "omni-moderation-latest",
        "input": ["a", "b", "c"],
    }


def test_a_text_flagged_without_a_category_is_flagged(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/moderations").respond(json={"results": [{"flagged": True}]})
    assert provider.moderate(["a"]) == [("unnamed",)]


def test_a_category_without_the_flag_is_not_flagged(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/moderations").respond(json={"results": [make_result("violence", flagged=False)]})
    assert provider.moderate(["a"]) == [()]


@pytest.mark.parametrize(
    "response",
    [
        {"results": [make_result()]},
        {"results": []},
        {"results": [{}, {}]},
        {"results": [{"flagged": "no"}, {"flagged": False}]},
        {},
    ],
)
def test_a_response_without_a_result_for_every_text_is_invalid(
    api: respx.MockRouter, provider: Provider, response: Json
) -> None:
    api.post("/moderations").respond(json=response)
    with pytest.raises(InvalidResponse):
        provider.moderate(["a", "b"])


def test_a_busy_provider_is_retried(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    busy = httpx.Response(429, headers={"retry-after": "7"}, json={"error": {"message": "slow"}})
    done = httpx.Response(200, json={"results": [make_result()]})
    api.post("/moderations").mock(side_effect=[busy, done])
    assert provider.moderate(["a"]) == [()]
    assert sum(clock.slept_s) >= 7


def test_a_provider_that_stays_busy_is_an_error(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/moderations").respond(429, json={"error": {"message": "slow down"}})
    with pytest.raises(RateLimited, match="slow down"):
        provider.moderate(["a"])


def test_a_missing_key_is_reported_before_any_request(bench: Bench) -> None:
    bench.environ = {}
    with pytest.raises(AuthFailed):
        bench.build().moderate(["a"])
    assert not bench.api.calls


def test_a_provider_without_the_endpoint_is_refused_with_an_alternative() -> None:
    require_moderation(ProviderSettings("openai"))
    with pytest.raises(ProviderError, match="'local' has no moderation endpoint") as caught:
        require_moderation(ProviderSettings("local"))
    assert "There is one at: openai." in caught.value.hint


def test_a_provider_without_the_endpoint_sends_nothing(bench: Bench) -> None:
    with pytest.raises(Rejected, match="has no moderation endpoint"):
        bench.build(ProviderSettings("local")).moderate(["a"])
    assert not bench.api.calls
