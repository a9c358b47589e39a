"""The order in which a back end gets the answers that it generates."""

import threading

from ftops.engine.lora.answer_queue import Answer, AnswerQueue
from ftops.engine.trainer import GenerationChunk, SamplingParams


def create_answer(adapter: str = "", *, tokens: int = 1, max_tokens: int = 1) -> Answer:
    def ignore(_: GenerationChunk | Exception) -> None:
        return

    params = SamplingParams(max_tokens=max_tokens)
    return Answer([0] * tokens, params, ignore, ignore, adapter)


def test_answers_with_the_same_adapter_run_together() -> None:
    queue = AnswerQueue(slots=8, capacity=1000)
    first, second, other = create_answer("a"), create_answer("a"), create_answer("b")
    queue.put([first, other, second])
    assert queue.take_all() == [first, second]
    for answer in (first, second):
        queue.finish(answer)
    assert queue.take_all() == [other]


def test_a_later_answer_does_not_delay_the_turn_of_another_adapter() -> None:
    queue = AnswerQueue(slots=8, capacity=1000)
    first, other, later = create_answer("a"), create_answer("b"), create_answer("a")
    queue.put([first])
    assert queue.take() is first
    joins = create_answer("a")
    queue.put([joins])
    assert queue.take() is joins  # nothing else waits
    queue.put([other, later])
    queue.finish(first)
    queue.finish(joins)
    assert queue.take() is other
    queue.finish(other)
    assert queue.take() is later


def test_slots_and_capacity_limit_what_runs_together() -> None:
    queue = AnswerQueue(slots=3, capacity=100)
    answers = [create_answer(tokens=40) for _ in range(3)]
    queue.put(answers)
    assert queue.take_all() == answers[:2]
    queue.finish(answers[0])
    assert queue.take_all() == answers[2:]
    large = create_answer(tokens=500)
    queue.put([large])
    queue.finish(answers[1])
    queue.finish(answers[2])
    assert queue.take() is large  # alone it may run


def test_a_long_answer_reserves_what_most_answers_need() -> None:
    assert create_answer(tokens=10, max_tokens=100_000).size == 522


def test_a_cancelled_answer_is_not_handed_out() -> None:
    queue = AnswerQueue(slots=1, capacity=100)
    cancelled, answer = create_answer(), create_answer()
    queue.put([cancelled, answer])
    cancelled.is_cancelled = True
    assert queue.take() is answer


def test_taking_waits_for_an_answer() -> None:
    queue = AnswerQueue(slots=1, capacity=100)
    taken: list[Answer] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    answer = create_answer()
    queue.put([answer])
    thread.join(20)
    assert taken == [answer]
