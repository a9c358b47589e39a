"""Many questions, their order, and whom an error is about."""

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
from tests.inference.conftest import Parlour
from tests.inference.oracle import Oracle, shout

PROMPTS = [f"question {number}" for number in range(40)]
SHOUTED = [prompt.upper() for prompt in PROMPTS]


def test_answers_come_in_the_order_of_the_prompts_with_progress(parlour: Parlour) -> None:
    assert parlour.texts(PROMPTS) == SHOUTED
    assert parlour.progress[0] == (0, 40)
    assert parlour.progress[-1] == (40, 40)
    assert [done for done, _ in parlour.progress] == sorted(done for done, _ in parlour.progress)


def test_questions_without_an_answer_are_not_counted_as_answers(parlour: Parlour) -> None:
    def fail(number: int, _prompts: Sequence[Prompt]) -> None:
        if number in (2, 3):
            raise InvalidResponse("cut off")

    parlour.oracle.at_request = fail
    parlour.texts(PROMPTS[:6], concurrency=1)
    assert parlour.progress[-1] == (4, 6)


def test_some_requests_are_under_way_at_once_and_never_more_than_allowed(parlour: Parlour) -> None:
    full = threading.Barrier(3)

    def meet(number: int, _prompts: Sequence[Prompt]) -> None:
        if number > 1:
            full.wait(timeout=10)  # goes on only once three are there together

    parlour.oracle.at_request = meet
    assert parlour.texts(PROMPTS[:31], concurrency=3) == SHOUTED[:31]
    assert parlour.oracle.requests.most_under_way == 3


def test_texts_share_requests_where_the_provider_likes_it_and_chats_do_not(
    parlour: Parlour,
) -> None:
    parlour.oracle = Oracle(parlour.folder / "other", parlour.clock, prompts_per_request=8)
    chats: list[Prompt] = [Chat((Message("user", f"chat {number}"),)) for number in range(3)]
    mixed: list[Prompt] = [*PROMPTS, *chats]
    assert parlour.texts(mixed) == [*SHOUTED, "CHAT 0", "CHAT 1", "CHAT 2"]
    sizes = sorted(len(request) for request in parlour.oracle.requests.prompts)
    assert sizes == [1, 1, 1, 1, 7, 8, 8, 8, 8]


@pytest.mark.parametrize("questions", [3, 5, 40])
def test_the_first_texts_go_alone_where_answers_are_to_be_timed(
    parlour: Parlour, questions: int
) -> None:
    parlour.oracle = Oracle(parlour.folder / "other", parlour.clock, prompts_per_request=64)
    assert parlour.texts(PROMPTS[:questions], timed_alone=5, concurrency=1) == SHOUTED[:questions]
    sizes = [len(request) for request in parlour.oracle.requests.prompts]
    assert sizes == {3: [1] * 3, 5: [1] * 5, 40: [1] * 5 + [35]}[questions]


def test_equal_questions_are_asked_once_but_each_draw_by_chance_is_its_own(
    parlour: Parlour,
) -> None:
    assert parlour.texts(["a", "b", "a"]) == ["A", "B", "A"]
    assert len(parlour.oracle.requests.asked) == 2
    warm = Sampling(temperature=1.0)
    assert parlour.texts(["c", "c"], sampling=warm) == ["C", "C"]
    assert len(parlour.oracle.requests.asked) == 4
    parlour.texts(["c", "c", "c"], sampling=warm)
    assert len(parlour.oracle.requests.asked) == 5


def test_a_second_asking_puts_no_question_and_starts_nothing(parlour: Parlour) -> None:
    parlour.texts(PROMPTS)
    parlour.oracle.before("ensure_ready", lambda: pytest.fail("somebody was started"))
    again = parlour.complete_all(PROMPTS)
    assert [one.completion and one.completion.text for one in again] == SHOUTED
    assert all(one.cached for one in again)
    assert again[0].completion == shout(PROMPTS[0])
    assert again[0].completion.seconds == 0.5
    assert len(parlour.oracle.requests.asked) == 40
    assert parlour.progress == [(40, 40)]


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
def test_what_may_change_an_answer_makes_another_question(
    parlour: Parlour, change: dict[str, object]
) -> None:
    parlour.texts(["a"])
    parlour.texts(["a"], **change)
    assert len(parlour.oracle.requests.asked) == 2


def test_a_question_that_is_refused_costs_its_own_answer_alone_and_is_not_put_again(
    parlour: Parlour,
) -> None:
    parlour.oracle = Oracle(parlour.folder / "other", parlour.clock, prompts_per_request=8)

    def refuse(_number: int, prompts: Sequence[Prompt]) -> None:
        if any(prompt in prompts for prompt in PROMPTS[3:30]):
            code = "context_length_exceeded"
            raise Rejected("ask m: the prompt is too long", status=400, code=code)

    parlour.oracle.at_request = refuse
    outcomes = parlour.complete_all(PROMPTS)
    failed = [number for number, one in enumerate(outcomes) if one.completion is None]
    assert failed == list(range(3, 30))
    assert outcomes[3].failure == "ask m: the prompt is too long"
    put = len(parlour.oracle.requests.prompts)
    assert parlour.complete_all(PROMPTS)[3].failure == "ask m: the prompt is too long"
    assert len(parlour.oracle.requests.prompts) == put


def test_a_question_that_a_policy_forbids_is_told_apart_now_and_later(parlour: Parlour) -> None:
    def forbid(_number: int, prompts: Sequence[Prompt]) -> None:
        if "q1" in prompts:
            raise Rejected("filtered", status=400, code="content_filter")
        if "q2" in prompts:
            raise Rejected("too long", status=400, code="context_length_exceeded")

    parlour.oracle.at_request = forbid
    for _ in range(2):
        outcomes = parlour.complete_all(["q0", "q1", "q2"])
        assert [(one.failure, one.declined) for one in outcomes] == [
            ("", False),
            ("filtered", True),
            ("too long", False),
        ]
    assert len(parlour.oracle.requests.asked) == 3


@pytest.mark.parametrize(
    "error",
    [InvalidResponse("nonsense"), Unavailable("it broke", status=500), Rejected("odd", status=422)],
)
def test_one_question_that_is_never_answered_well_fails_alone_and_is_put_again_next_time(
    parlour: Parlour, error: ProviderError
) -> None:
    def break_at_one(_number: int, prompts: Sequence[Prompt]) -> None:
        if PROMPTS[7] in prompts:
            raise error

    parlour.oracle.at_request = break_at_one
    outcomes = parlour.complete_all(PROMPTS)
    assert [one.failure for one in outcomes if one.completion is None] == [error.message]
    parlour.oracle.at_request = lambda _number, _prompts: None
    assert parlour.texts(PROMPTS) == SHOUTED
    assert len(parlour.oracle.requests.asked) == 41


def test_questions_of_which_none_is_answered_are_given_up_together(parlour: Parlour) -> None:
    def refuse(_number: int, _prompts: Sequence[Prompt]) -> None:
        raise Rejected("this server knows no completions", status=400)

    parlour.oracle.at_request = refuse
    with pytest.raises(Rejected, match="no completions"):
        parlour.complete_all(PROMPTS)
    assert len(parlour.oracle.requests.asked) < 12


@pytest.mark.parametrize(
    "error",
    [
        AuthFailed("the key was refused", status=401),
        NotFound("the model is gone", status=404),
        Unreachable("nobody answers"),
        Unavailable("the gateway is lost", status=502),
        RateLimited("the credit is used up", status=429, final=True),
        Rejected("never trained", status=400, code="model_not_trained", param="model"),
    ],
)
def test_an_error_of_the_whole_ends_it_and_what_came_is_kept(
    parlour: Parlour, error: ProviderError
) -> None:
    def end(number: int, _prompts: Sequence[Prompt]) -> None:
        if number > 10:
            raise error

    parlour.oracle.at_request = end
    with pytest.raises(type(error), match=error.message):
        parlour.complete_all(PROMPTS)
    assert len(parlour.oracle.requests.asked) <= 10 + 4
    parlour.oracle.at_request = lambda _number, _prompts: None
    put = len(parlour.oracle.requests.asked)
    assert parlour.texts(PROMPTS) == SHOUTED
    assert len(parlour.oracle.requests.asked) == put + 30


def test_a_wrong_key_is_told_by_one_request(parlour: Parlour) -> None:
    def refuse(_number: int, _prompts: Sequence[Prompt]) -> None:
        raise AuthFailed("the key was refused", status=401)

    parlour.oracle.at_request = refuse
    with pytest.raises(AuthFailed):
        parlour.complete_all(PROMPTS)
    assert len(parlour.oracle.requests.prompts) == 1


def test_where_fewer_requests_are_wanted_fewer_are_sent_and_all_is_answered(
    parlour: Parlour,
) -> None:
    lock = threading.Lock()
    limited = 0

    def limit(number: int, _prompts: Sequence[Prompt]) -> None:
        nonlocal limited
        with lock:
            if number in (4, 9) and limited < 2:
                limited += 1
                raise RateLimited("slower, please", status=429)

    parlour.oracle.at_request = limit
    assert parlour.texts(PROMPTS) == SHOUTED
    assert len(parlour.oracle.requests.asked) == 42


def test_a_model_that_is_still_loading_is_waited_for_and_a_wrong_name_is_not_for_ever(
    parlour: Parlour,
) -> None:
    def load(number: int, _prompts: Sequence[Prompt]) -> None:
        if number <= 3:
            raise NotFound("the model does not exist", status=404)

    parlour.oracle.at_request = load
    assert parlour.texts(PROMPTS, loading_pauses_s=LOADING_PAUSES_S) == SHOUTED
    assert parlour.clock.slept_s == [2.0, 5.0, 10.0]
    assert parlour.notes == ["m is not being served yet; waiting for it"]
    parlour.oracle.at_request = lambda _number, _prompts: load(1, ())
    with pytest.raises(NotFound):
        parlour.complete_all(["another"], loading_pauses_s=LOADING_PAUSES_S)


def test_ctrl_c_leaves_what_came_in_the_store(parlour: Parlour) -> None:
    def press(done: int, _total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    def cut(number: int, _prompts: Sequence[Prompt]) -> None:
        if number > 30:
            raise Unreachable("the cable is out")

    parlour.oracle.at_request = cut
    with pytest.raises(KeyboardInterrupt):
        parlour.complete_all(PROMPTS, on_progress=press)
    put = len(parlour.oracle.requests.asked)
    answered = min(put, 30)  # those under way at the time are kept, too
    parlour.oracle.at_request = lambda _number, _prompts: None
    assert parlour.texts(PROMPTS) == SHOUTED
    assert len(parlour.oracle.requests.asked) == put + 40 - answered


def test_answers_of_any_text_are_kept_as_they_were(parlour: Parlour) -> None:
    texts = ["", "\ud83d", "two\nlines\u2028and more", '"}', "\x00", "ä" * 10_000]
    replies = {f"q{number}": Completion(text) for number, text in enumerate(texts)}
    parlour.oracle.reply = lambda prompt: replies[str(prompt)]
    assert parlour.texts(list(replies)) == texts
    assert parlour.texts(list(replies)) == texts
    assert len(parlour.oracle.requests.asked) == len(texts)
