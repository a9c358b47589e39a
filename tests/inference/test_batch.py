"""Batches of prompts: order, concurrency, errors of a row and of the whole batch."""

import threading
from collections.abc import Sequence

import pytest

from ftops.errors import (
    AuthFailed,
    InvalidResponse,
    NotFound,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unreachable,
)
from ftops.inference.batch import LOADING_PAUSES_S
from ftops.records import Chat, Completion, Message, Prompt, Sampling
from tests.inference.completions import CompletionProvider, uppercase
from tests.inference.conftest import Client

PROMPTS = [f"question {number}" for number in range(40)]
ANSWERS = [prompt.upper() for prompt in PROMPTS]


def test_completions_are_in_the_order_of_the_prompts_with_progress(client: Client) -> None:
    assert client.texts(PROMPTS) == ANSWERS
    assert client.progress[0] == (0, 40)
    assert client.progress[-1] == (40, 40)
    assert [done for done, _ in client.progress] == sorted(done for done, _ in client.progress)


def test_failed_prompts_do_not_count_as_completed(client: Client) -> None:
    def fail(number: int, _prompts: Sequence[Prompt]) -> None:
        if number in (2, 3):
            raise InvalidResponse("cut off")

    client.provider.on_request = fail
    client.texts(PROMPTS[:6], concurrency=1)
    assert client.progress[-1] == (4, 6)


def test_concurrent_requests_stay_within_the_limit(client: Client) -> None:
    barrier = threading.Barrier(3)

    def wait_for_three(number: int, _prompts: Sequence[Prompt]) -> None:
        if number > 1:
            barrier.wait(timeout=10)  # continues when three requests wait

    client.provider.on_request = wait_for_three
    assert client.texts(PROMPTS[:31], concurrency=3) == ANSWERS[:31]
    assert client.provider.requests.max_in_flight == 3


def test_text_prompts_share_requests_and_chats_do_not(
    client: Client,
) -> None:
    client.provider = CompletionProvider(
        client.folder / "other", client.clock, prompts_per_request=8
    )
    chats: list[Prompt] = [Chat((Message("user", f"chat {number}"),)) for number in range(3)]
    mixed: list[Prompt] = [*PROMPTS, *chats]
    assert client.texts(mixed) == [*ANSWERS, "CHAT 0", "CHAT 1", "CHAT 2"]
    sizes = sorted(len(request) for request in client.provider.requests.batches)
    assert sizes == [1, 1, 1, 1, 7, 8, 8, 8, 8]


@pytest.mark.parametrize("count", [3, 5, 40])
def test_the_first_text_prompts_are_sent_alone_when_they_are_timed(
    client: Client, count: int
) -> None:
    client.provider = CompletionProvider(
        client.folder / "other", client.clock, prompts_per_request=64
    )
    assert client.texts(PROMPTS[:count], timed_alone=5, concurrency=1) == ANSWERS[:count]
    sizes = [len(request) for request in client.provider.requests.batches]
    assert sizes == {3: [1] * 3, 5: [1] * 5, 40: [1] * 5 + [35]}[count]


def test_equal_prompts_are_sent_once_but_each_sample_is_new(
    client: Client,
) -> None:
    assert client.texts(["a", "b", "a"]) == ["A", "B", "A"]
    assert len(client.provider.requests.prompts) == 2
    sampled = Sampling(temperature=1.0)
    assert client.texts(["c", "c"], sampling=sampled) == ["C", "C"]
    assert len(client.provider.requests.prompts) == 4
    client.texts(["c", "c", "c"], sampling=sampled)
    assert len(client.provider.requests.prompts) == 5


def test_cached_completions_need_no_request_and_no_ready_provider(client: Client) -> None:
    client.texts(PROMPTS)
    client.provider.before("ensure_ready", lambda: pytest.fail("the provider was started"))
    cached = client.complete_all(PROMPTS)
    assert [result.completion and result.completion.text for result in cached] == ANSWERS
    assert all(result.cached for result in cached)
    assert cached[0].completion == uppercase(PROMPTS[0])
    assert cached[0].completion.seconds == 0.5
    assert len(client.provider.requests.prompts) == 40
    assert client.progress == [(40, 40)]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"sampling": Sampling(max_tokens=5)},
        {"sampling": Sampling(max_tokens=4, stop=("\n",))},
        {"sampling": Sampling(max_tokens=4, logprobs=3)},
        {"refresh": True},
    ],
)
def test_changed_options_send_the_prompt_again(client: Client, change: dict[str, object]) -> None:
    client.texts(["a"])
    client.texts(["a"], **change)
    assert len(client.provider.requests.prompts) == 2


def test_a_refused_prompt_fails_alone_and_is_not_sent_again(
    client: Client,
) -> None:
    client.provider = CompletionProvider(
        client.folder / "other", client.clock, prompts_per_request=8
    )

    def refuse(_number: int, prompts: Sequence[Prompt]) -> None:
        if any(prompt in prompts for prompt in PROMPTS[3:30]):
            code = "context_length_exceeded"
            raise Rejected("ask m: the prompt is too long", status=400, code=code)

    client.provider.on_request = refuse
    results = client.complete_all(PROMPTS)
    failed = [number for number, result in enumerate(results) if result.completion is None]
    assert failed == list(range(3, 30))
    assert results[3].failure == "ask m: the prompt is too long"
    sent = len(client.provider.requests.batches)
    assert client.complete_all(PROMPTS)[3].failure == "ask m: the prompt is too long"
    assert len(client.provider.requests.batches) == sent


def test_a_prompt_declined_by_a_content_filter_is_marked_also_from_the_cache(
    client: Client,
) -> None:
    def forbid(_number: int, prompts: Sequence[Prompt]) -> None:
        if "q1" in prompts:
            raise Rejected("filtered", status=400, code="content_filter")
        if "q2" in prompts:
            raise Rejected("too long", status=400, code="context_length_exceeded")

    client.provider.on_request = forbid
    for _ in range(2):
        results = client.complete_all(["q0", "q1", "q2"])
        assert [(result.failure, result.declined) for result in results] == [
            ("", False),
            ("filtered", True),
            ("too long", False),
        ]
    assert len(client.provider.requests.prompts) == 3


@pytest.mark.parametrize(
    "error",
    [InvalidResponse("nonsense"), Unavailable("it broke", status=500), Rejected("odd", status=422)],
)
def test_a_prompt_that_always_fails_fails_alone_and_is_sent_again_next_time(
    client: Client, error: ProviderError
) -> None:
    def fail_one(_number: int, prompts: Sequence[Prompt]) -> None:
        if PROMPTS[7] in prompts:
            raise error

    client.provider.on_request = fail_one
    results = client.complete_all(PROMPTS)
    assert [result.failure for result in results if result.completion is None] == [error.message]
    client.provider.on_request = lambda _number, _prompts: None
    assert client.texts(PROMPTS) == ANSWERS
    assert len(client.provider.requests.prompts) == 41


def test_a_batch_ends_when_every_prompt_fails(client: Client) -> None:
    def refuse(_number: int, _prompts: Sequence[Prompt]) -> None:
        raise Rejected("this server knows no completions", status=400)

    client.provider.on_request = refuse
    with pytest.raises(Rejected, match="no completions"):
        client.complete_all(PROMPTS)
    assert len(client.provider.requests.prompts) < 12


@pytest.mark.parametrize(
    "error",
    [
        AuthFailed("the key was refused", status=401),
        NotFound("the model is gone", status=404),
        Unreachable("no response"),
        Unavailable("the gateway is lost", status=502),
        RateLimited("the credit is used up", status=429, final=True),
        Rejected("never trained", status=400, code="model_not_trained", param="model"),
    ],
)
def test_an_error_of_the_batch_ends_it_and_keeps_the_completions(
    client: Client, error: ProviderError
) -> None:
    def end(number: int, _prompts: Sequence[Prompt]) -> None:
        if number > 10:
            raise error

    client.provider.on_request = end
    with pytest.raises(type(error), match=error.message):
        client.complete_all(PROMPTS)
    assert len(client.provider.requests.prompts) <= 10 + 4
    client.provider.on_request = lambda _number, _prompts: None
    sent = len(client.provider.requests.prompts)
    assert client.texts(PROMPTS) == ANSWERS
    assert len(client.provider.requests.prompts) == sent + 30


def test_a_wrong_key_is_reported_after_one_request(client: Client) -> None:
    def refuse(_number: int, _prompts: Sequence[Prompt]) -> None:
        raise AuthFailed("the key was refused", status=401)

    client.provider.on_request = refuse
    with pytest.raises(AuthFailed):
        client.complete_all(PROMPTS)
    assert len(client.provider.requests.batches) == 1


def test_rate_limits_reduce_concurrency_and_every_prompt_is_completed(
    client: Client,
) -> None:
    lock = threading.Lock()
    refused = 0

    def limit(number: int, _prompts: Sequence[Prompt]) -> None:
        nonlocal refused
        with lock:
            if number in (4, 9) and refused < 2:
                refused += 1
                raise RateLimited("slower, please", status=429)

    client.provider.on_request = limit
    assert client.texts(PROMPTS) == ANSWERS
    assert len(client.provider.requests.prompts) == 42


def test_a_loading_model_is_awaited_for_a_limited_time(
    client: Client,
) -> None:
    def load(number: int, _prompts: Sequence[Prompt]) -> None:
        if number <= 3:
            raise NotFound("the model does not exist", status=404)

    client.provider.on_request = load
    assert client.texts(PROMPTS, loading_pauses_s=LOADING_PAUSES_S) == ANSWERS
    assert client.clock.slept_s == [2.0, 5.0, 10.0]
    assert client.messages == ["m is not being served yet; waiting for it"]
    client.provider.on_request = lambda _number, _prompts: load(1, ())
    with pytest.raises(NotFound):
        client.complete_all(["another"], loading_pauses_s=LOADING_PAUSES_S)


def test_ctrl_c_keeps_the_completions_in_the_cache(client: Client) -> None:
    def interrupt(done: int, _total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    def disconnect(number: int, _prompts: Sequence[Prompt]) -> None:
        if number > 30:
            raise Unreachable("the network is down")

    client.provider.on_request = disconnect
    with pytest.raises(KeyboardInterrupt):
        client.complete_all(PROMPTS, on_progress=interrupt)
    sent = len(client.provider.requests.prompts)
    completed = min(sent, 30)  # requests in flight are kept, too
    client.provider.on_request = lambda _number, _prompts: None
    assert client.texts(PROMPTS) == ANSWERS
    assert len(client.provider.requests.prompts) == sent + 40 - completed


def test_completions_of_any_text_are_cached_unchanged(client: Client) -> None:
    texts = ["", "\ud83d", "two\nlines\u2028and more", '"}', "\x00", "ä" * 10_000]
    replies = {f"q{number}": Completion(text) for number, text in enumerate(texts)}
    client.provider.reply = lambda prompt: replies[str(prompt)]
    assert client.texts(list(replies)) == texts
    assert client.texts(list(replies)) == texts
    assert len(client.provider.requests.prompts) == len(texts)
