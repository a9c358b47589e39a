"""Texts that a provider judges: what is sent, what is read, who can do it."""

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


def verdict(*categories: str, flagged: bool = True) -> dict[str, Json]:
    known: dict[str, Json] = {"harassment": False, "self-harm/intent": None, "violence": False}
    return {
        "flagged": flagged and bool(categories),
        "categories": {**known, **dict.fromkeys(categories, True)},
        "category_scores": {"violence": 0.5},
    }


def test_texts_go_out_as_one_list_and_their_categories_come_back_in_order(
    api: respx.MockRouter, provider: Provider
) -> None:
    results: Json = [verdict("violence", "harassment"), verdict(), verdict("violence")]
    route = api.post("/moderations").respond(json={"id": "modr-1", "results": results})
    assert provider.moderate(["a", "b", "c"]) == [("harassment", "violence"), (), ("violence",)]
    assert json.loads(route.calls[0].request.content) == {
        "model": "omni-moderation-latest",
        "input": ["a", "b", "c"],
    }


def test_a_text_that_is_flagged_without_a_category_is_flagged_all_the_same(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/moderations").respond(json={"results": [{"flagged": True}]})
    assert provider.moderate(["a"]) == [("unnamed",)]


def test_a_category_without_the_flag_is_no_verdict_against_the_text(
    api: respx.MockRouter, provider: Provider
) -> None:
    api.post("/moderations").respond(json={"results": [verdict("violence", flagged=False)]})
    assert provider.moderate(["a"]) == [()]


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [verdict()]},
        {"results": []},
        {"results": [{}, {}]},
        {"results": [{"flagged": "no"}, {"flagged": False}]},
        {},
    ],
)
def test_an_answer_that_does_not_judge_every_text_judges_none(
    api: respx.MockRouter, provider: Provider, answer: Json
) -> None:
    api.post("/moderations").respond(json=answer)
    with pytest.raises(InvalidResponse):
        provider.moderate(["a", "b"])


def test_a_provider_that_is_busy_is_asked_again(
    api: respx.MockRouter, provider: Provider, clock: FakeClock
) -> None:
    busy = httpx.Response(429, headers={"retry-after": "7"}, json={"error": {"message": "slow"}})
    done = httpx.Response(200, json={"results": [verdict()]})
    api.post("/moderations").mock(side_effect=[busy, done])
    assert provider.moderate(["a"]) == [()]
    assert sum(clock.slept_s) >= 7


def test_a_provider_that_stays_busy_is_an_error(api: respx.MockRouter, provider: Provider) -> None:
    api.post("/moderations").respond(429, json={"error": {"message": "slow down"}})
    with pytest.raises(RateLimited, match="slow down"):
        provider.moderate(["a"])


def test_a_missing_key_is_told_before_anything_is_sent(bench: Bench) -> None:
    bench.environ = {}
    with pytest.raises(AuthFailed):
        bench.build().moderate(["a"])
    assert not bench.api.calls


def test_a_provider_without_the_endpoint_is_refused_and_one_that_has_it_is_named() -> None:
    require_moderation(ProviderSettings("openai"))
    with pytest.raises(ProviderError, match="'local' has no moderation endpoint") as caught:
        require_moderation(ProviderSettings("local"))
    assert "There is one at: openai." in caught.value.hint


def test_a_provider_without_the_endpoint_sends_nothing(bench: Bench) -> None:
    with pytest.raises(Rejected, match="has no moderation endpoint"):
        bench.build(ProviderSettings("local")).moderate(["a"])
    assert not bench.api.calls
