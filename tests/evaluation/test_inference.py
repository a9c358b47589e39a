"""Predictions from responses: tool calls, and the probabilities of labels."""

from typing import cast

import pytest

from ftops.evaluation.candidates import Candidate
from ftops.evaluation.inference import make_predictions, read_label_probabilities
from ftops.evaluation.prompt_format import PromptFormat
from ftops.evaluation.result import CandidateKind, parse_predictions, render_predictions
from ftops.evaluation.rows import EvaluationRow
from ftops.inference.cache import CompletionResult
from ftops.providers.provider import Provider
from ftops.records import Chat, Completion, Message, ProviderSettings, ToolCall


def test_a_label_of_one_token_has_the_probability_of_that_token() -> None:
    first_tokens = [{" yes": 0.7, "yes": 0.1, " no": 0.15, " perhaps": 0.05}, {" no": 1.0}]
    probabilities, reason = read_label_probabilities(first_tokens, PromptFormat(), ["yes", "no"])
    assert probabilities[0] == {"yes": pytest.approx(0.8), "no": 0.15}
    assert probabilities[1] == {"no": 1.0}
    assert reason == ""


def test_an_encoded_label_has_the_probability_of_its_number() -> None:
    prompt_format = PromptFormat(label_map={"1": "sports", "2": "politics"})
    probabilities, _ = read_label_probabilities(
        [{" 1": 0.6, " 2": 0.4}], prompt_format, ["sports", "politics"]
    )
    assert probabilities == [{"sports": 0.6, "politics": 0.4}]


def test_a_label_of_several_tokens_is_named_and_no_label_has_a_probability() -> None:
    first_tokens = [{" yes": 0.9, " un": 0.1}, {" un": 0.8, " yes": 0.2}]
    probabilities, reason = read_label_probabilities(
        first_tokens, PromptFormat(), ["yes", "undecided"]
    )
    assert probabilities == [{}, {}]
    assert reason.startswith("'undecided' has several tokens")
    assert "--only encode-labels" in reason


def test_labels_that_share_their_first_token_are_named() -> None:
    probabilities, reason = read_label_probabilities(
        [{" pos": 0.9}], PromptFormat(), ["positive", "possible"]
    )
    assert probabilities == [{}]
    assert "'positive' and 'possible' start with the same token, 'pos'" in reason


def test_a_label_that_is_a_prefix_of_another_is_named() -> None:
    probabilities, reason = read_label_probabilities(
        [{" 1": 0.9, " 2": 0.1}], PromptFormat(), ["1", "10", "2"]
    )
    assert probabilities == [{}]
    assert "'10' starts with the token of '1'" in reason


def test_a_space_as_a_separate_token_hides_every_label() -> None:
    probabilities, reason = read_label_probabilities(
        [{" ": 0.99, "yes": 0.001}], PromptFormat(), ["yes", "no"]
    )
    assert probabilities == [{}]
    assert "'no' has several tokens" in reason


def test_an_unlikely_first_token_does_not_hide_other_labels() -> None:
    first_tokens = [{" yes": 0.99, " n": 0.0001}]
    probabilities, reason = read_label_probabilities(first_tokens, PromptFormat(), ["yes", "no"])
    assert (probabilities, reason) == ([{"yes": 0.99}], "")


def test_the_tool_calls_of_a_response_are_kept_and_are_part_of_its_text() -> None:
    call = ToolCall("light", '{"on":true}')
    chat = Chat((Message("user", "Light!"),), {"tools": []})
    rows = [EvaluationRow(1, chat, '[{"name":"light","arguments":{"on":true}}]', "Light!", (call,))]
    written = ToolCall("light", '{"on": true}')
    completion = Completion(" I do. ", "tool_calls", tool_calls=(written,))
    candidate = Candidate(
        "tuned", CandidateKind.TUNED, "m", ProviderSettings("x"), cast(Provider, None), [chat],
        PromptFormat(),
    )  # fmt: skip
    ((prediction,), _) = make_predictions(candidate, rows, [CompletionResult(completion)])
    assert prediction.predicted == 'I do.\n[{"name":"light","arguments":{"on":true}}]'
    assert (prediction.expected_calls, prediction.predicted_calls) == ((call,), (written,))
    (stored,) = parse_predictions(render_predictions([prediction]).encode())
    assert stored == prediction
