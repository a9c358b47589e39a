"""Answers on the disk: torn lines, other processes, a full disk, and room for new ones."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from ftops.errors import StorageError
from ftops.inference.cache import CompletionResult, ResponseCache, make_key
from ftops.records import Chat, Completion, Message, Sampling, ToolCall
from tests.fakes import FakeClock
from tests.inference.conftest import Parlour

ANSWER = Completion(
    "yes",
    "stop",
    3,
    1,
    first_token={" yes": -0.1, " no": -2.5},
    tool_calls=(ToolCall("light", '{"on"'),),
    seconds=0.25,
    shared=4,
)


def open_store(home: Path, **options: int) -> ResponseCache:
    return ResponseCache(home, FakeClock(), **options)


def find_file(home: Path) -> Path:
    (path,) = (home / "responses").glob("*.jsonl")
    return path


def test_an_answer_comes_back_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    open_store(tmp_path).open("acme", "m").add({"k": CompletionResult(ANSWER)})
    found = open_store(tmp_path).open("acme", "m").find("k")
    assert found is not None
    assert found.completion == ANSWER
    assert (found.completion.seconds, found.completion.shared) == (0.25, 4)
    assert open_store(tmp_path).open("acme", "other").find("k") is None
    assert open_store(tmp_path).open("other", "m").find("k") is None


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_line_that_a_power_cut_has_torn_is_passed_over_and_the_next_ones_are_not(
    tmp_path: Path, cut: int
) -> None:
    shelf = open_store(tmp_path).open("acme", "m")
    shelf.add({"first": CompletionResult(ANSWER)})
    shelf.add({"second": CompletionResult(ANSWER)})
    path = find_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    after = open_store(tmp_path).open("acme", "m")
    assert after.find("first") is not None
    assert after.find("second") is None
    after.add({"third": CompletionResult(failure="too long")})
    last = open_store(tmp_path).open("acme", "m")
    assert [last.find(key) is not None for key in ("first", "second", "third")] == [
        True,
        cut == 1,  # it lacked only its end of line
        True,
    ]


def test_lines_of_another_make_and_blocks_of_zeros_are_passed_over(tmp_path: Path) -> None:
    shelf = open_store(tmp_path).open("acme", "m")
    shelf.add({"first": CompletionResult(ANSWER)})
    with find_file(tmp_path).open("ab") as stream:
        stream.write(b"\x00" * 512 + b'\n[]\n7\n{"key": "x"}\n{"key": "y", "text": 5}\n\xff\n{"key')
    after = open_store(tmp_path).open("acme", "m")
    assert after.find("first") is not None
    assert after.find("x") is None
    assert after.find("y") is None


def test_what_another_process_has_added_is_seen_after_a_look(tmp_path: Path) -> None:
    mine, other = (open_store(tmp_path).open("acme", "m") for _ in range(2))
    mine.add({"mine": CompletionResult(ANSWER)})
    other.add({"theirs": CompletionResult(ANSWER)})
    mine.add({"more": CompletionResult(ANSWER)})
    assert mine.find("theirs") is None
    mine.refresh()
    assert mine.find("theirs") is not None
    find_file(tmp_path).unlink()  # somebody makes room
    mine.refresh()
    mine.add({"last": CompletionResult(ANSWER)})
    assert open_store(tmp_path).open("acme", "m").find("last") is not None


def test_questions_that_another_process_has_put_meanwhile_are_not_put_again(
    parlour: Parlour,
) -> None:
    prompts = [f"q{number}" for number in range(9)]

    def answer_elsewhere(number: int, _prompts: object) -> None:
        if number == 1:
            shelf = open_store(parlour.home).open(parlour.oracle.account, "m")
            sampling = Sampling(max_tokens=4)
            shelf.add(
                {make_key(prompt, sampling): CompletionResult(ANSWER) for prompt in prompts[1:]}
            )

    parlour.oracle.at_request = answer_elsewhere
    assert parlour.texts(prompts) == ["Q0"] + ["yes"] * 8
    assert parlour.oracle.requests.asked == ["q0"]


def test_two_commands_with_the_same_questions_do_not_put_them_side_by_side(
    parlour: Parlour,
) -> None:
    prompts = [f"q{number}" for number in range(9)]
    shelf = open_store(parlour.home).open(parlour.oracle.account, "m")
    pauses: list[float] = []
    with ExitStack() as other:
        assert other.enter_context(shelf.hold(Sampling(max_tokens=4)))

        def answer_elsewhere(pause_s: float) -> None:
            pauses.append(pause_s)
            if len(pauses) == 3:
                sampling = Sampling(max_tokens=4)
                shelf.add(
                    {make_key(one, sampling): CompletionResult(ANSWER) for one in prompts[:8]}
                )
                other.close()

        assert parlour.texts(prompts, sleep=answer_elsewhere) == ["yes"] * 8 + ["Q8"]
    assert len(pauses) == 3
    assert parlour.oracle.requests.asked == ["q8"]
    assert parlour.notes == ["another command is sending prompts to m; waiting for it"]


def test_other_models_and_other_ways_to_ask_are_not_waited_for(parlour: Parlour) -> None:
    shelf = open_store(parlour.home).open(parlour.oracle.account, "m")
    with shelf.hold(Sampling(max_tokens=4)) as is_ours:
        assert is_ours
        assert parlour.complete_all(["q"], Sampling(max_tokens=5))[0].completion
        assert parlour.complete_all(["q"], Sampling(max_tokens=4), model="n")[0].completion
    assert parlour.notes == []


def test_a_full_disk_ends_it_with_its_reason_and_the_path(parlour: Parlour) -> None:
    parlour.complete_all(["before"])
    path = find_file(parlour.home)
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"responses.*the disk is full"):
        parlour.complete_all([f"q{number}" for number in range(40)])
    assert len(parlour.oracle.requests.asked) < 8


def test_what_was_not_used_for_the_longest_time_goes_when_there_is_too_much(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    for model in ("old", "used", "new"):
        store = ResponseCache(tmp_path, clock)
        shelf = store.open("acme", model)
        shelf.add({"k": CompletionResult(Completion("x" * 1000))})
        shelf.sync()
        clock.advance(60)
    ResponseCache(tmp_path, clock).open("acme", "old")
    clock.advance(60)
    store = ResponseCache(tmp_path, clock, max_bytes=2500)
    store.open("acme", "another")
    left = [model for model in ("old", "used", "new") if store.open("acme", model).find("k")]
    assert left == ["old", "new"]


def test_a_key_tells_apart_all_that_may_change_an_answer() -> None:
    chat = Chat((Message("user", "a"),))
    keys = [
        make_key("a", Sampling()),
        make_key("b", Sampling()),
        make_key(chat, Sampling()),
        make_key(Chat((Message("system", "a"),)), Sampling()),
        make_key(Chat((Message("user", "a", {"name": "b"}),)), Sampling()),
        make_key(Chat((Message("user", "a"),), {"tools": []}), Sampling()),
        make_key("a", Sampling(seed=1)),
        make_key("a", Sampling(top_p=0.5)),
        make_key("a", Sampling(temperature=0.5)),
        make_key("a", Sampling(stop=("x",))),
        make_key("a", Sampling(), 1),
        make_key("\ud800", Sampling()),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == make_key("a", Sampling())


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    open_store(tmp_path / "home").open("acme", "m")
    path = find_file(tmp_path / "home")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert os.access(path, os.R_OK)
