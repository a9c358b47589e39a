"""The cost of a batch: estimated before, and limited while it runs."""

from dataclasses import replace

import pytest

from ftops.data.tokens.counter import Estimator
from ftops.errors import LimitExceeded
from ftops.inference.budget import (
    Budget,
    CostEstimate,
    CostEstimator,
    Prices,
    count_prompt_tokens,
    find_prices,
)
from ftops.providers.model_catalog import ModelInfo
from ftops.records import Chat, Completion, Message
from ftops.text import format_usd
from tests.inference.conftest import Client

PROMPTS = [f"question {number}" for number in range(40)]
# One dollar for each completion token.
EXPENSIVE = CostEstimator(Estimator(""), Prices(0, 1e6))


def test_a_limit_below_the_estimate_is_reported_before_the_first_request(client: Client) -> None:
    with pytest.raises(LimitExceeded, match=r"up to \$160\.00 .*40 requests.*the limit is \$159"):
        client.complete_all(PROMPTS, cost_estimator=EXPENSIVE, budget=Budget(159.0))
    assert client.provider.requests.prompts == []
    assert client.texts(PROMPTS, cost_estimator=EXPENSIVE, budget=Budget(160.0))


def test_cached_completions_cost_nothing(client: Client) -> None:
    client.complete_all(PROMPTS[:30])
    budget = Budget(40.0)
    client.complete_all(PROMPTS, cost_estimator=EXPENSIVE, budget=budget)
    assert budget.spent_usd == 20.0  # ten completions of two tokens


def test_a_limit_without_a_price_is_an_error(client: Client) -> None:
    cost_estimator = CostEstimator(Estimator(""), None, "Set the price of m.")
    with pytest.raises(LimitExceeded, match="price of asking m is not known") as caught:
        client.complete_all(PROMPTS, cost_estimator=cost_estimator, budget=Budget(1.0))
    assert caught.value.hint == "Set the price of m."
    assert client.provider.requests.prompts == []


def test_completions_above_the_estimate_end_the_batch_at_the_limit(
    client: Client,
) -> None:
    # The provider counts three times the tokens that a completion may have.
    client.provider.reply = lambda _prompt: Completion("x", "stop", 2, 12)
    budget = Budget(160.0)
    with pytest.raises(LimitExceeded, match=r"are spent.*the limit is \$160"):
        client.complete_all(PROMPTS, cost_estimator=EXPENSIVE, budget=budget)
    assert 120 <= budget.spent_usd <= 160 + 3 * 8  # requests in flight may exceed the limit
    sent = len(client.provider.requests.prompts)
    assert sent < 20
    client.complete_all(PROMPTS)
    assert len(client.provider.requests.prompts) == 40


def test_the_estimate_is_reported_and_can_stop_the_batch(client: Client) -> None:
    estimates: list[CostEstimate] = []

    def stop(estimate: CostEstimate) -> None:
        estimates.append(estimate)
        raise LimitExceeded("no")

    with pytest.raises(LimitExceeded):
        client.complete_all(PROMPTS, cost_estimator=EXPENSIVE, on_estimate=stop)
    assert [(item.requests, item.completion_tokens, item.usd) for item in estimates] == [
        (40, 160, 160.0)
    ]
    assert client.provider.requests.prompts == []


def test_messages_of_a_chat_add_tokens() -> None:
    chat = Chat((Message("system", "Be brief."), Message("user", "Why?")))
    plain = sum(count_prompt_tokens(["Be brief.", "Why?"], Estimator("")))
    (counted,) = count_prompt_tokens([chat], Estimator(""))
    assert counted > plain
    (with_tools,) = count_prompt_tokens([replace(chat, options={"tools": [{}]})], Estimator(""))
    assert with_tools > counted


def test_the_cost_of_completions_needs_prices_and_tokens() -> None:
    cost_estimator = CostEstimator(Estimator(""), Prices(2.0, 8.0))
    counted, uncounted = Completion("a", "stop", 1000, 500), Completion("a")
    assert cost_estimator.price([counted, counted]) == pytest.approx(0.012)
    assert cost_estimator.price([counted, uncounted]) is None
    assert CostEstimator(Estimator(""), None).price([counted]) is None
    assert CostEstimator(Estimator(""), Prices(0, 0)).price([uncounted]) == 0
    assert find_prices(ModelInfo(input_usd=1.0)) is None
    assert find_prices(ModelInfo(input_usd=1.0, output_usd=2.0)) == Prices(1.0, 2.0)


def test_small_amounts_of_money_have_more_digits() -> None:
    assert [format_usd(usd) for usd in (0, 0.00123, 0.25, 1234.5)] == [
        "$0.00",
        "$0.0012",
        "$0.25",
        "$1,234.50",
    ]
