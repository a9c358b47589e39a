"""What asking costs, before and as answers come."""

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
    format_usd,
)
from ftops.providers.model_catalog import ModelInfo
from ftops.records import Chat, Completion, Message
from tests.inference.conftest import Parlour

PROMPTS = [f"question {number}" for number in range(40)]
# A million dollars for a million tokens written: a dollar each.
DEAR = CostEstimator(Estimator(""), Prices(0, 1e6))


def test_a_limit_that_may_be_broken_is_told_before_anything_is_sent(parlour: Parlour) -> None:
    with pytest.raises(LimitExceeded, match=r"up to \$160\.00 .*40 requests.*the limit is \$159"):
        parlour.complete_all(PROMPTS, cost_estimator=DEAR, budget=Budget(159.0))
    assert parlour.oracle.requests.asked == []
    assert parlour.texts(PROMPTS, cost_estimator=DEAR, budget=Budget(160.0))


def test_what_was_answered_before_costs_nothing(parlour: Parlour) -> None:
    parlour.complete_all(PROMPTS[:30])
    budget = Budget(40.0)
    parlour.complete_all(PROMPTS, cost_estimator=DEAR, budget=budget)
    assert budget.spent_usd == 20.0  # ten answers of two tokens


def test_a_limit_without_a_price_cannot_be_held(parlour: Parlour) -> None:
    cost_estimator = CostEstimator(Estimator(""), None, "Tell the price of m.")
    with pytest.raises(LimitExceeded, match="price of asking m is not known") as caught:
        parlour.complete_all(PROMPTS, cost_estimator=cost_estimator, budget=Budget(1.0))
    assert caught.value.hint == "Tell the price of m."
    assert parlour.oracle.requests.asked == []


def test_answers_that_cost_more_than_was_thought_end_it_before_the_limit(
    parlour: Parlour,
) -> None:
    # The provider counts three times the tokens that an answer may have.
    parlour.oracle.reply = lambda _prompt: Completion("x", "stop", 2, 12)
    budget = Budget(160.0)
    with pytest.raises(LimitExceeded, match=r"are spent.*the limit is \$160"):
        parlour.complete_all(PROMPTS, cost_estimator=DEAR, budget=budget)
    assert 120 <= budget.spent_usd <= 160 + 3 * 8  # what was under way could not be foreseen
    put = len(parlour.oracle.requests.asked)
    assert put < 20
    parlour.complete_all(PROMPTS)
    assert len(parlour.oracle.requests.asked) == 40


def test_a_forecast_is_told_and_may_forbid_it(parlour: Parlour) -> None:
    told: list[CostEstimate] = []

    def forbid(estimate: CostEstimate) -> None:
        told.append(estimate)
        raise LimitExceeded("no")

    with pytest.raises(LimitExceeded):
        parlour.complete_all(PROMPTS, cost_estimator=DEAR, on_estimate=forbid)
    assert [(one.requests, one.completion_tokens, one.usd) for one in told] == [(40, 160, 160.0)]
    assert parlour.oracle.requests.asked == []


def test_a_chat_has_tokens_for_its_messages_too() -> None:
    chat = Chat((Message("system", "Be brief."), Message("user", "Why?")))
    plain = sum(count_prompt_tokens(["Be brief.", "Why?"], Estimator("")))
    (counted,) = count_prompt_tokens([chat], Estimator(""))
    assert counted > plain
    (with_tools,) = count_prompt_tokens([replace(chat, options={"tools": [{}]})], Estimator(""))
    assert with_tools > counted


def test_what_answers_have_cost_is_known_where_prices_and_tokens_are() -> None:
    cost_estimator = CostEstimator(Estimator(""), Prices(2.0, 8.0))
    counted, uncounted = Completion("a", "stop", 1000, 500), Completion("a")
    assert cost_estimator.price([counted, counted]) == pytest.approx(0.012)
    assert cost_estimator.price([counted, uncounted]) is None
    assert CostEstimator(Estimator(""), None).price([counted]) is None
    assert CostEstimator(Estimator(""), Prices(0, 0)).price([uncounted]) == 0
    assert find_prices(ModelInfo(input_usd=1.0)) is None
    assert find_prices(ModelInfo(input_usd=1.0, output_usd=2.0)) == Prices(1.0, 2.0)


def test_small_sums_of_money_can_be_seen() -> None:
    assert [format_usd(usd) for usd in (0, 0.00123, 0.25, 1234.5)] == [
        "$0.00",
        "$0.0012",
        "$0.25",
        "$1,234.50",
    ]
