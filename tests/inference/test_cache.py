"""The response cache on the disk: torn lines, other processes, a full disk, and its size limit."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from ftops.errors import StorageError
from ftops.inference.cache import CompletionResult, ResponseCache, make_key
from ftops.records import Chat, Completion, Message, Sampling, ToolCall
from tests.fakes import FakeClock
from tests.inference.conftest import Client

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


def open_cache(home: Path, **options: int) -> ResponseCache:
    return ResponseCache(home, FakeClock(), **options)


def find_file(home: Path) -> Path:
    (path,) = (home / "responses").glob("*.jsonl")
    return path


def test_a_cached_completion_is_read_back_whole(tmp_path: Path) -> None:
    open_cache(tmp_path).open("acme", "m").add({"k": CompletionResult(ANSWER)})
    result = open_cache(tmp_path).open("acme", "m").find("k")
    assert result is not None
    assert result.completion == ANSWER
    assert (result.completion.seconds, result.completion.shared) == (0.25, 4)
    assert open_cache(tmp_path).open("acme", "other").find("k") is None
    assert open_cache(tmp_path).open("other", "m").find("k") is None


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_line_is_skipped_and_later_lines_are_read(tmp_path: Path, cut: int) -> None:
    responses = open_cache(tmp_path).open("acme", "m")
    responses.add({"first": CompletionResult(ANSWER)})
    responses.add({"second": CompletionResult(ANSWER)})
    path = find_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    after = open_cache(tmp_path).open("acme", "m")
    assert after.find("first") is not None
    assert after.find("second") is None
    after.add({"third": CompletionResult(failure="too long")})
    last = open_cache(tmp_path).open("acme", "m")
    assert [last.find(key) is not None for key in ("first", "second", "third")] == [
        True,
        cut == 1,  # it lacked only its end of line
        True,
    ]


def test_invalid_lines_and_blocks_of_zeros_are_skipped(tmp_path: Path) -> None:
    responses = open_cache(tmp_path).open("acme", "m")
    responses.add({"first": CompletionResult(ANSWER)})
    with find_file(tmp_path).open("ab") as stream:
        stream.write(b"\x00" * 512 + b'\n[]\n7\n{"key": "x"}\n{"key": "y", "text": 5}\n\xff\n{"key')
    after = open_cache(tmp_path).open("acme", "m")
    assert after.find("first") is not None
    assert after.find("x") is None
    assert after.find("y") is None


def test_responses_of_another_process_are_found_after_a_refresh(tmp_path: Path) -> None:
    mine, other = (open_cache(tmp_path).open("acme", "m") for _ in range(2))
    mine.add({"mine": CompletionResult(ANSWER)})
    other.add({"theirs": CompletionResult(ANSWER)})
    mine.add({"more": CompletionResult(ANSWER)})
    assert mine.find("theirs") is None
    mine.refresh()
    assert mine.find("theirs") is not None
    find_file(tmp_path).unlink()  # another process frees space
    mine.refresh()
    mine.add({"last": CompletionResult(ANSWER)})
    assert open_cache(tmp_path).open("acme", "m").find("last") is not None


def test_prompts_that_another_process_completes_meanwhile_are_not_sent(
    client: Client,
) -> None:
    prompts = [f"q{number}" for number in range(9)]

    def complete_elsewhere(number: int, _prompts: object) -> None:
        if number == 1:
            responses = open_cache(client.home).open(client.provider.account, "m")
            sampling = Sampling(max_tokens=4)
            responses.add(
                {make_key(prompt, sampling): CompletionResult(ANSWER) for prompt in prompts[1:]}
            )

    client.provider.on_request = complete_elsewhere
    assert client.texts(prompts) == ["Q0"] + ["yes"] * 8
    assert client.provider.requests.prompts == ["q0"]


def test_two_commands_do_not_send_the_same_prompts_at_the_same_time(
    client: Client,
) -> None:
    prompts = [f"q{number}" for number in range(9)]
    responses = open_cache(client.home).open(client.provider.account, "m")
    pauses: list[float] = []
    with ExitStack() as other:
        assert other.enter_context(responses.hold(Sampling(max_tokens=4)))

        def complete_elsewhere(pause_s: float) -> None:
            pauses.append(pause_s)
            if len(pauses) == 3:
                sampling = Sampling(max_tokens=4)
                responses.add(
                    {make_key(prompt, sampling): CompletionResult(ANSWER) for prompt in prompts[:8]}
                )
                other.close()

        assert client.texts(prompts, sleep=complete_elsewhere) == ["yes"] * 8 + ["Q8"]
    assert len(pauses) == 3
    assert client.provider.requests.prompts == ["q8"]
    assert client.messages == ["another command is sending prompts to m; waiting for it"]


def test_other_models_and_options_are_not_awaited(client: Client) -> None:
    responses = open_cache(client.home).open(client.provider.account, "m")
    with responses.hold(Sampling(max_tokens=4)) as is_ours:
        assert is_ours
        assert client.complete_all(["q"], Sampling(max_tokens=5))[0].completion
        assert client.complete_all(["q"], Sampling(max_tokens=4), model="n")[0].completion
    assert client.messages == []


def test_a_full_disk_is_an_error_with_the_path(client: Client) -> None:
    client.complete_all(["before"])
    path = find_file(client.home)
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"responses.*the disk is full"):
        client.complete_all([f"q{number}" for number in range(40)])
    assert len(client.provider.requests.prompts) < 8


def test_the_least_recently_used_file_is_deleted_above_the_size_limit(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    for model in ("old", "used", "new"):
        cache = ResponseCache(tmp_path, clock)
        responses = cache.open("acme", model)
        responses.add({"k": CompletionResult(Completion("x" * 1000))})
        responses.sync()
        clock.advance(60)
    ResponseCache(tmp_path, clock).open("acme", "old")
    clock.advance(60)
    cache = ResponseCache(tmp_path, clock, max_bytes=2500)
    cache.open("acme", "another")
    kept = [model for model in ("old", "used", "new") if cache.open("acme", model).find("k")]
    assert kept == ["old", "new"]


def test_a_key_differs_with_everything_that_can_change_a_completion() -> None:
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
        make_key("a", Sampling(precision="fp32")),
        make_key("a", Sampling(), 1),
        make_key("\ud800", Sampling()),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == make_key("a", Sampling())


def test_keys_of_earlier_versions_stay_valid() -> None:
    assert make_key("a", Sampling()) == "b674bf6a6bd09501bff639aa8d945038"


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    open_cache(tmp_path / "home").open("acme", "m")
    path = find_file(tmp_path / "home")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert os.access(path, os.R_OK)
