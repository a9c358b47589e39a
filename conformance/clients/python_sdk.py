"""Every operation of `current.OPERATIONS` with the Python SDK; run by the client's own Python.

Its argument is the file that gets the outcomes: null for what passed, else what was wrong. The
variable BASE_MODEL names the base model of its jobs.
"""

import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

CLIENT: Any = openai.OpenAI(max_retries=0)
BASE = os.environ["BASE_MODEL"]
JOBS = CLIENT.fine_tuning.jobs
KEPT: dict[str, Any] = {}
OUTCOMES: dict[str, str | None] = {}
ENDED = ("succeeded", "failed", "cancelled")
COLOURS = ("red", "green", "blue")


def chats(n: int = 60) -> bytes:
    rows = [
        {
            "messages": [
                {"role": "system", "content": "Name the colour."},
                {"role": "user", "content": f"thing {i} is {COLOURS[i % 3]}"},
                {"role": "assistant", "content": COLOURS[i % 3]},
            ]
        }
        for i in range(n)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def completions(n: int = 60) -> bytes:
    rows = [
        {"prompt": f"thing {i} is {COLOURS[i % 3]} ->", "completion": f" {COLOURS[i % 3]}"}
        for i in range(n)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def upload(content: bytes, name: str = "rows.jsonl", **more: Any) -> Any:
    return CLIENT.files.create(file=(name, content), purpose="fine-tune", **more)


def wait_for(job_id: str, *statuses: str) -> Any:
    end_s = time.monotonic() + 240
    while (job := JOBS.retrieve(job_id)).status not in statuses:
        assert time.monotonic() < end_s, f"{job_id} is {job.status}"
        assert job.status not in ENDED, f"{job_id} is {job.status}: {job.error}"
        time.sleep(0.1)
    return job


def refusal(kind: type[openai.APIStatusError], call: Callable[[], Any]) -> Any:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def say(model: str, **more: Any) -> Any:
    messages = [
        {"role": "system", "content": "Name the colour."},
        {"role": "user", "content": "thing 1 is green"},
    ]
    return CLIENT.chat.completions.create(model=model, messages=messages, **more)


def attempt(name: str) -> Callable[[Callable[[], None]], None]:
    def run(operation: Callable[[], None]) -> None:
        try:
            operation()
            OUTCOMES[name] = None
        except Exception as error:
            OUTCOMES[name] = f"{type(error).__name__}: {error}"

    return run


@attempt("models.list, models.retrieve")
def _() -> None:
    assert BASE in [model.id for model in CLIENT.models.list()]
    assert CLIENT.models.retrieve(BASE).object == "model"


@attempt("files.create, retrieve, content")
def _() -> None:
    made = upload(chats())
    assert (made.object, made.purpose, made.status) == ("file", "fine-tune", "processed")
    assert CLIENT.files.retrieve(made.id) == made
    assert CLIENT.files.content(made.id).read() == chats()
    KEPT["chats"] = made.id


@attempt("files.create with expires_after")
def _() -> None:
    made = upload(chats(), expires_after={"anchor": "created_at", "seconds": 3600})
    assert made.expires_at == made.created_at + 3600
    refusal(
        openai.BadRequestError,
        lambda: upload(chats(), expires_after={"anchor": "created_at", "seconds": 1}),
    )


@attempt("files.list by purpose, page by page")
def _() -> None:
    made = {upload(chats(), f"{number}.jsonl").id for number in range(3)}
    found = [file.id for file in CLIENT.files.list(purpose="fine-tune", limit=2)]
    assert made <= set(found)
    assert len(found) == len(set(found))
    assert [file.id for file in CLIENT.files.list(order="asc", limit=2)] == found[::-1]


@attempt("files.wait_for_processing of an invalid file")
def _() -> None:
    made = upload(b'{"prompt": "a"}\n')
    seen = CLIENT.files.wait_for_processing(made.id, poll_interval=0.1)
    assert seen.status == "error"
    assert "line 1" in seen.status_details
    KEPT["bad"] = made.id


@attempt("uploads.create, parts, complete with md5")
def _() -> None:
    Path("parts.jsonl").write_bytes(completions())
    done = CLIENT.uploads.upload_file_chunked(
        file=Path("parts.jsonl"),
        mime_type="text/jsonl",
        purpose="fine-tune",
        part_size=1000,
        md5=hashlib.md5(completions()).hexdigest(),
    )
    assert done.status == "completed"
    assert CLIENT.files.content(done.file.id).read() == completions()
    KEPT["completions"] = done.file.id


@attempt("uploads.cancel")
def _() -> None:
    made = CLIENT.uploads.create(
        bytes=10, filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    assert made.expires_at == made.created_at + 3600
    assert CLIENT.uploads.cancel(made.id).status == "cancelled"
    refusal(openai.BadRequestError, lambda: CLIENT.uploads.parts.create(made.id, data=b"a"))


@attempt("jobs.create with method, suffix, seed, metadata, validation file")
def _() -> None:
    job = JOBS.create(
        model=BASE,
        training_file=KEPT["chats"],
        validation_file=upload(chats(9)).id,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": "auto"}}},
        suffix="colours",
        seed=7,
        metadata={"team": "search"},
    )
    assert (job.seed, job.metadata, job.method.type) == (7, {"team": "search"}, "supervised")
    assert job.method.supervised.hyperparameters.n_epochs == "auto"
    KEPT["job"] = job.id


@attempt("jobs.retrieve until succeeded, auto resolved")
def _() -> None:
    job = wait_for(KEPT["job"], "succeeded")
    assert isinstance(job.hyperparameters.n_epochs, int)
    assert job.fine_tuned_model.startswith(f"ft:{BASE}:")
    assert job.trained_tokens > 0
    KEPT["model"] = job.fine_tuned_model


@attempt("jobs.list with limit, after and metadata")
def _() -> None:
    other = JOBS.create(model=BASE, training_file=KEPT["chats"])
    JOBS.cancel(other.id)
    assert [job.id for job in JOBS.list(limit=1)][:2] == [other.id, KEPT["job"]]
    assert [job.id for job in JOBS.list(after=other.id)] == [KEPT["job"]]
    assert [job.id for job in JOBS.list(metadata={"team": "search"})] == [KEPT["job"]]


@attempt("jobs.list_events, page by page, newest first")
def _() -> None:
    events = list(JOBS.list_events(KEPT["job"], limit=3))
    assert len({event.id for event in events}) == len(events) > 6
    assert "success" in events[0].message
    assert KEPT["job"] in events[-1].message
    assert any(event.type == "metrics" and event.data["train_loss"] > 0 for event in events)


@attempt("jobs.checkpoints.list, completion by a checkpoint")
def _() -> None:
    found = list(JOBS.checkpoints.list(KEPT["job"], limit=1))
    assert 1 <= len(found) <= 3
    steps = [one.step_number for one in found]
    assert steps == sorted(steps, reverse=True)
    assert found[0].metrics.valid_loss > 0
    name = found[0].fine_tuned_model_checkpoint
    assert name.endswith(f":ckpt-step-{steps[0]}")
    assert CLIENT.models.retrieve(name).id == name
    say(name)


@attempt("results file")
def _() -> None:
    (file_id,) = JOBS.retrieve(KEPT["job"]).result_files
    assert CLIENT.files.retrieve(file_id).purpose == "fine-tune-results"
    lines = CLIENT.files.content(file_id).text.splitlines()
    assert lines[0].startswith("step,")
    assert len(lines) > 3


@attempt("chat.completions.create")
def _() -> None:
    answer = say(KEPT["model"], temperature=0, max_tokens=8)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens > answer.usage.prompt_tokens > 0


@attempt("chat.completions.create with n, stop, seed, logprobs, penalties, logit_bias")
def _() -> None:
    options: dict[str, Any] = {
        "n": 2,
        "seed": 1,
        "stop": ["zzz"],
        "logprobs": True,
        "top_logprobs": 2,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "logit_bias": {"40": -100},
        "top_p": 0.9,
        "max_completion_tokens": 6,
    }
    first, again = (say(KEPT["model"], **options) for _ in range(2))
    assert len(first.choices) == 2
    texts = [[choice.message.content for choice in one.choices] for one in (first, again)]
    assert texts[0] == texts[1]
    assert len(first.choices[0].logprobs.content[0].top_logprobs) == 2


@attempt("chat.completions.create, streamed with usage")
def _() -> None:
    whole = say(KEPT["model"], temperature=0, max_tokens=8).choices[0].message.content
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(say(KEPT["model"], temperature=0, max_tokens=8, **options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole
    assert chunks[-1].usage.completion_tokens > 0


@attempt("jobs.create with the older hyperparameters on completion rows")
def _() -> None:
    job = JOBS.create(
        model=BASE,
        training_file=KEPT["completions"],
        hyperparameters={"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1},
    )
    job = wait_for(job.id, "succeeded")
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (3, 8)
    KEPT["text"] = job.fine_tuned_model


@attempt("completions.create with several prompts, echo, logprobs")
def _() -> None:
    answer = CLIENT.completions.create(
        model=KEPT["text"], prompt=["thing 1 is green ->", "a"], echo=True, logprobs=1, n=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[0].text.startswith("thing 1 is green ->")
    assert answer.choices[0].logprobs.token_logprobs[0] is None


@attempt("completions.create, streamed")
def _() -> None:
    options = {"model": KEPT["text"], "prompt": "thing 1 is green ->", "temperature": 0}
    whole = CLIENT.completions.create(**options).choices[0].text
    pieces = CLIENT.completions.create(**options, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == whole


@attempt("jobs.create from a fine-tuned model")
def _() -> None:
    job = JOBS.create(
        model=KEPT["model"], training_file=KEPT["chats"], hyperparameters={"n_epochs": 1}
    )
    KEPT["child"] = wait_for(job.id, "succeeded").fine_tuned_model


@attempt("jobs.create on preferences (dpo)")
def _() -> None:
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"thing {number}?"}]},
            "preferred_output": [{"role": "assistant", "content": "red"}],
            "non_preferred_output": [{"role": "assistant", "content": "blue"}],
        }
        for number in range(12)
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    job = JOBS.create(
        model=KEPT["model"],
        training_file=upload(content).id,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2}}},
    )
    assert job.method.type == "dpo"
    done = wait_for(job.id, "succeeded")
    assert done.method.dpo.hyperparameters.beta == 0.2
    say(done.fine_tuned_model)


def long_job() -> str:
    options = {"n_epochs": 500, "batch_size": 4}
    job = JOBS.create(model=BASE, training_file=KEPT["chats"], hyperparameters=options)
    wait_for(job.id, "running")
    return str(job.id)


@attempt("jobs.pause, jobs.resume")
def _() -> None:
    job_id = long_job()
    assert JOBS.pause(job_id).status in ("pausing", "paused")
    wait_for(job_id, "paused")
    refusal(openai.BadRequestError, lambda: JOBS.pause(job_id))
    assert JOBS.resume(job_id).status == "queued"
    wait_for(job_id, "running")
    KEPT["long"] = job_id


@attempt("jobs.cancel, twice")
def _() -> None:
    assert JOBS.cancel(KEPT["long"]).status == "cancelled"
    assert JOBS.retrieve(KEPT["long"]).fine_tuned_model is None
    refusal(openai.BadRequestError, lambda: JOBS.cancel(KEPT["long"]))


@attempt("invalid row: the job fails and names the line")
def _() -> None:
    job = wait_for(JOBS.create(model=BASE, training_file=KEPT["bad"]).id, "failed")
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert "line 1" in job.error.message


@attempt("refused: reinforcement, integrations")
def _() -> None:
    grader = {
        "type": "string_check",
        "name": "same",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    }
    wandb = [{"type": "wandb", "wandb": {"project": "x"}}]
    for more, param in (
        ({"method": {"type": "reinforcement", "reinforcement": {"grader": grader}}}, "method"),
        ({"integrations": wandb}, "integrations"),
    ):
        asked = {"model": BASE, "training_file": KEPT["chats"], **more}
        error = refusal(openai.BadRequestError, functools.partial(JOBS.create, **asked))
        assert error.param == param


@attempt("errors 400, 401, 404 with type, param, code and request id")
def _() -> None:
    missing = refusal(openai.NotFoundError, lambda: CLIENT.models.retrieve("ft:none"))
    assert (missing.code, missing.param) == ("model_not_found", "model")
    assert missing.type == "invalid_request_error"
    assert missing.request_id
    bad = refusal(
        openai.BadRequestError, lambda: JOBS.create(model=BASE, training_file="file-none")
    )
    assert bad.param == "training_file"
    stranger = openai.OpenAI(api_key="wrong", max_retries=0)
    wrong = refusal(openai.AuthenticationError, stranger.models.list)
    assert wrong.code == "invalid_api_key"


@attempt("rate limit and request headers")
def _() -> None:
    answer = JOBS.with_raw_response.create(model=BASE, training_file=KEPT["chats"])
    JOBS.cancel(answer.parse().id)
    assert int(answer.headers["x-ratelimit-remaining-requests"]) > 0
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert answer.headers["x-request-id"]


@attempt("models.delete")
def _() -> None:
    assert CLIENT.models.delete(KEPT["child"]).deleted
    refusal(openai.NotFoundError, lambda: say(KEPT["child"]))
    refusal(openai.NotFoundError, lambda: CLIENT.models.delete(KEPT["child"]))


@attempt("files.delete")
def _() -> None:
    assert CLIENT.files.delete(KEPT["bad"]).deleted
    refusal(openai.NotFoundError, lambda: CLIENT.files.retrieve(KEPT["bad"]))


Path(sys.argv[1]).write_text(json.dumps(OUTCOMES), encoding="utf-8")
