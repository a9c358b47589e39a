"""Processes that serve models: they are shared, replaced after a crash, and end in time."""

import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftops.engine.generation import GenerationRequest, PooledModel
from ftops.engine.lora.serving import MERGE_AFTER, ServedModel
from ftops.engine.trainer import ModelUnavailable, PromptTooLong, SamplingParams
from ftops.errors import EngineError
from tests.engine.lora.served import ECHO_COMMAND, ask, run_pool, write_adapter, write_base
from tests.engine.running import wait_for
from tests.fakes import FakeClock


def start(model: ServedModel, prompt: str, *, n: int = 1) -> GenerationRequest:
    return PooledModel(None, model).generate([prompt] * n, SamplingParams(max_tokens=99))


def test_a_prompt_is_answered_in_a_process_with_what_serves_it_named(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        request = start(model, "good day", n=3)
        texts = ["", "", ""]
        for chunk in request:
            texts[chunk.index] += chunk.text
        assert texts == ["good day"] * 3
        assert request.system_fingerprint.startswith("echo ")
        assert model.count_tokens("good day") == 8
        assert model.load == 0


def test_adapters_of_a_base_model_share_its_process(tmp_path: Path) -> None:
    base = write_base(tmp_path)
    with run_pool() as pool:
        first, second = (pool.open(base, write_adapter(tmp_path, name)) for name in "ab")
        pid, adapter = ask(first, "pid").split()
        assert adapter == "a"
        assert ask(second, "pid").split() == [pid, "b"]
        assert ask(pool.open(base), "pid").split() == [pid]
        first.close()
        assert ask(second, "unloaded") == "a"


def test_a_model_with_weights_of_its_own_has_a_process_of_its_own(tmp_path: Path) -> None:
    base = write_base(tmp_path)
    tuned = tmp_path / "models" / "whole"
    tuned.mkdir(parents=True)
    with run_pool() as pool:
        assert ask(pool.open(base), "pid") != ask(pool.open(base, tuned), "pid")


def test_a_requested_precision_is_served_by_another_process(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        exact = PooledModel(None, model).generate(["x"], SamplingParams(precision="fp32"))
        assert "".join(chunk.text for chunk in exact) == "x"
        assert exact.system_fingerprint == "echo fp32"


@pytest.mark.skipif(not find_spec("xllamacpp"), reason="only llama.cpp has Q8_0")
def test_a_model_that_is_asked_often_and_alone_gets_merged_weights(tmp_path: Path) -> None:
    base = write_base(tmp_path)
    with run_pool() as pool:
        first, second = (pool.open(base, write_adapter(tmp_path, name)) for name in "ab")
        shared, *_ = ask(first, "pid").split()
        for _ in range(MERGE_AFTER):
            ask(first, "x")
        wait_for(lambda: ask(first, "pid").split()[1:] == [])  # its adapter is in the weights
        merged = ask(first, "pid").strip()
        assert merged != shared
        assert first.count_tokens("good day") == 8
        exact = SamplingParams(max_tokens=99, precision="fp32")
        assert ask(first, "pid", exact).split()[1] == "a"  # as evaluations are
        assert ask(second, "pid").split() == [shared, "b"]
        assert ask(first, "pid").split() == [shared, "a"]
        first.close()
        wait_for(lambda: not is_alive(merged))
        assert ask(second, "pid").split() == [shared, "b"]


def test_models_that_take_turns_share_a_process(tmp_path: Path) -> None:
    base = write_base(tmp_path)
    with run_pool() as pool:
        models = [pool.open(base, write_adapter(tmp_path, name)) for name in "ab"]
        for _ in range(MERGE_AFTER):
            for model in models:
                ask(model, "x")
        assert len({ask(model, "pid").split()[0] for model in models}) == 1
        assert len(list(base.folder.glob("*.log"))) == 1


def test_a_precision_that_the_back_end_lacks_is_refused(tmp_path: Path) -> None:
    with run_pool(None, "--fp32") as pool:
        model = pool.open(write_base(tmp_path))
        assert ask(model, "x", SamplingParams(precision="auto")) == "x"
        with pytest.raises(EngineError, match="served in fp32, not in q8_0"):
            ask(model, "x", SamplingParams(precision="q8_0"))


def test_what_needs_a_grammar_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with run_pool(None, "--no-grammar") as pool:
        model = pool.open(write_base(tmp_path))
        for field, params in {
            "response_format": SamplingParams(json_schema={}),
            "tool_choice": SamplingParams(forced_calls={"add": {}}),
        }.items():
            with pytest.raises(EngineError, match=f"{field}: this model is served by Transform"):
                ask(model, "x", params)


def test_a_crash_fails_its_requests_and_the_next_one_starts_a_new_process(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path, "one"))
        other = pool.open(write_base(tmp_path, "two"))
        pid = ask(model, "pid")
        held = start(other, "hold")
        with pytest.raises(ModelUnavailable, match=r"ended \(signal 9\).*Send the request again"):
            ask(model, "die")
        assert ask(model, "pid") != pid
        assert next(iter(held)).text == "."
        held.close()


def test_a_model_that_cannot_be_loaded_says_why_and_hides_paths(tmp_path: Path) -> None:
    with (
        run_pool(None, "--broken") as pool,
        pytest.raises(ModelUnavailable) as failure,
    ):
        ask(pool.open(write_base(tmp_path)), "x")
    assert str(failure.value) == "base_models/echo: the weights are damaged. Add them again."


def test_a_failed_answer_leaves_the_process_running(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        pid = ask(model, "pid")
        with pytest.raises(ModelUnavailable, match="no memory left in …"):
            ask(model, "fail")
        assert ask(model, "pid") == pid


def test_what_a_library_prints_does_not_disturb_the_answers(tmp_path: Path) -> None:
    with run_pool() as pool:
        base = write_base(tmp_path)
        assert ask(pool.open(base), "print") == "print"
        log = next(base.folder.glob("*.log")).read_text()
        assert log == "a library prints this\n"


def test_invalid_requests_are_refused_with_their_reason(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        with pytest.raises(PromptTooLong, match="prompt 0 has 200 tokens; the model takes 199"):
            ask(model, "x" * 200)
        with pytest.raises(EngineError, match="logit_bias: no token -1 in a vocabulary"):
            ask(model, "x", SamplingParams(logit_bias={-1: 1.0}))


def test_a_reader_that_does_not_read_delays_no_other(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        unread = [start(model, "x" * 99) for _ in range(20)]
        assert ask(model, "yes") == "yes"
        texts = ["".join(chunk.text for chunk in request) for request in unread]
        assert texts == ["x" * 99] * 20


def test_an_answer_without_a_reader_ends(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        held = start(model, "hold")
        assert next(iter(held)).text == "."
        assert ask(model, "held") == "1"
        held.close()
        wait_for(lambda: ask(model, "held") == "0")
        wait_for(lambda: model.load == 0)


def test_an_idle_process_ends_and_the_next_request_starts_another(tmp_path: Path) -> None:
    clock = FakeClock()
    with run_pool(clock) as pool:
        model = pool.open(write_base(tmp_path))
        pid = ask(model, "pid")
        held = start(model, "hold")
        next(iter(held))
        clock.sleep(700)
        pool.stop_idle(600)
        assert ask(model, "pid") == pid  # there was a request
        held.close()
        wait_for(lambda: model.load == 0)
        clock.sleep(599)
        pool.stop_idle(600)
        assert ask(model, "pid") == pid
        wait_for(lambda: model.load == 0)
        clock.sleep(600)
        pool.stop_idle(600)
        wait_for(lambda: not is_alive(pid))
        assert ask(model, "pid") != pid


def test_closing_the_last_model_ends_its_process_after_the_active_requests(tmp_path: Path) -> None:
    with run_pool() as pool:
        base = write_base(tmp_path)
        model = pool.open(base, write_adapter(tmp_path, "a"))
        other = pool.open(base)
        pid = ask(model, "pid").split()[0]
        held = start(model, "hold")
        next(iter(held))
        model.close()
        other.close()
        assert is_alive(pid)
        assert next(iter(held)).text == "."
        held.close()
        wait_for(lambda: not is_alive(pid))


def test_requests_from_many_threads_do_not_mix(tmp_path: Path) -> None:
    with run_pool() as pool:
        model = pool.open(write_base(tmp_path))
        wrong: list[str] = []

        def request(text: str) -> None:
            for _ in range(10):
                if ask(model, text) != text:
                    wrong.append(text)

        threads = [threading.Thread(target=request, args=(f"thread {n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


_ENGINE = """
import sys
from pathlib import Path
from ftops.clock import SystemClock
from ftops.engine.lora.serving import ServingPool
from tests.engine.lora.served import ask, write_base
pool = ServingPool(SystemClock(), sys.argv[2:])
print(ask(pool.open(write_base(Path(sys.argv[1]))), "pid"), flush=True)
sys.stdin.read()
"""


def test_a_process_ends_with_a_killed_engine(tmp_path: Path) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", _ENGINE, str(tmp_path), *ECHO_COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with engine:
        assert engine.stdout is not None
        pid = engine.stdout.readline().strip()
        assert is_alive(pid)
        engine.send_signal(signal.SIGKILL)
        wait_for(lambda: not is_alive(pid))


def is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid.strip()}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
