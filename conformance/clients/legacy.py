"""openai 0.28.1: the command line of the legacy protocol, every command unmodified."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.environments import make_venv
from conformance.operation import Client, Operation, OperationContext, Output, Server, ensure
from conformance.rows import as_lines, sentences, yes_or_no

REQUIREMENTS = ("openai==0.28.1", "pandas==2.2.3", "numpy==1.26.4", "openpyxl==3.1.5")
_LIFE = (
    "Created fine-tune: ft-",
    "Fine-tune costs $0.00",
    "Fine-tune enqueued. Queue number: 0",
    "Fine-tune started",
    "Completed epoch 1/4",
    "Completed epoch 4/4",
    "Uploaded model: ",
    "Uploaded result file: file-",
    "Fine-tune succeeded",
    "Job complete! Status: succeeded",
)
_COLUMNS = (
    "step,elapsed_tokens,elapsed_examples,training_loss,training_sequence_accuracy,"
    "training_token_accuracy"
)
_VALIDATION = ",validation_loss,validation_sequence_accuracy,validation_token_accuracy"


def install(cache: Path) -> Path:
    return make_venv(cache, "openai-0.28.1", REQUIREMENTS)


def environment(server: Server) -> Mapping[str, str]:
    return {"OPENAI_API_BASE": server.base_url, "OPENAI_API_KEY": server.token}


def _call(context: OperationContext, *arguments: str, input: str = "") -> Output:
    return context.run(context.tool / "openai", *arguments, input=input)


def _api(context: OperationContext, *arguments: str) -> Output:
    return _call(context, "api", *arguments)


def _object(context: OperationContext, *arguments: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(_api(context, *arguments).expect().out)


def _job_of(output: Output) -> str:
    return output.out.partition("Created fine-tune: ")[2].split()[0]


def _model_of(output: Output) -> str:
    return output.out.partition("Uploaded model: ")[2].split()[0]


def _prepare_data(context: OperationContext) -> None:
    rows = [{**row, "prompt": row["prompt"].removesuffix(" ->")} for row in sentences()]
    context.write("data.json", json.dumps(rows))
    # Two questions are answered with yes, the split into two files with no.
    _call(context, "tools", "fine_tunes.prepare_data", "-f", "data.json", input="y\nn\ny\ny\ny\n")
    ensure((context.folder / "data_prepared.jsonl").exists(), "data_prepared.jsonl was not written")


def _create_from_prepared(context: OperationContext) -> None:
    done = _api(context, "fine_tunes.create", "-t", "data_prepared.jsonl", "-m", "curie")
    done.expect("Uploaded file from data_prepared.jsonl: file-", *_LIFE)
    ensure(_model_of(done).startswith("curie:ft-local-20"), f"the model is {_model_of(done)}")


def _create_with_classes(context: OperationContext) -> None:
    context.write("train.jsonl", as_lines(sentences(240)))
    context.write("valid.jsonl", as_lines(sentences(30)))
    files = ("-t", "train.jsonl", "-v", "valid.jsonl", "-m", "ada", "--suffix", "my_model_name")
    figures = ["--n_epochs", "4", "--batch_size", "8", "--learning_rate_multiplier", "0.1"]
    metrics = ["--compute_classification_metrics", "--classification_n_classes", "3"]
    done = _api(context, "fine_tunes.create", *files, *figures, *metrics).expect(*_LIFE)
    context.kept["job"], context.kept["model"] = _job_of(done), _model_of(done)
    name = context.kept["model"]
    ensure(name.startswith("ada:ft-local:my-model-name-20"), f"the model is {name}")


def _create_binary(context: OperationContext) -> None:
    context.write("train2.jsonl", as_lines(yes_or_no(90)))
    context.write("valid2.jsonl", as_lines(yes_or_no(30)))
    files = ("-t", "train2.jsonl", "-v", "valid2.jsonl", "-m", "ada")
    metrics = ("--compute_classification_metrics", "--classification_positive_class", " yes")
    betas = ("--classification_betas", "0.5", "2")
    done = _api(context, "fine_tunes.create", *files, *metrics, *betas).expect(*_LIFE)
    names = ["accuracy", "precision", "recall", "f1.0", "f0.5", "f2.0", "auroc", "auprc"]
    results = _api(context, "fine_tunes.results", "-i", _job_of(done))
    results.expect(_COLUMNS + _VALIDATION + "".join(f",classification/{name}" for name in names))
    last = results.out.split()[-1].split(",")
    ensure(all(0 <= float(value) <= 1 for value in last[-8:]), f"the last row is {last}")


def _results(context: OperationContext) -> None:
    metrics = ",classification/accuracy,classification/weighted_f1_score"
    done = _api(context, "fine_tunes.results", "-i", context.get("job"))
    rows = done.expect(_COLUMNS + _VALIDATION + metrics).out.split()
    ensure(len(rows) == 121, f"{len(rows)} lines for 120 steps")
    accuracy = float(rows[-1].split(",")[-2])
    ensure(accuracy > 0.5, f"the model is right of {accuracy:.2f} of the validation rows")


def _get(context: OperationContext) -> None:
    job = _object(context, "fine_tunes.get", "-i", context.get("job"))
    ensure(job["status"] == "succeeded", f"the status is {job['status']}")
    ensure(job["hyperparams"]["batch_size"] == 8, f"hyperparams are {job['hyperparams']}")
    ensure(job["result_files"][0]["object"] == "file", f"result_files: {job['result_files']}")


def _list(context: OperationContext) -> None:
    listed = [job["id"] for job in _object(context, "fine_tunes.list")["data"]]
    ensure(context.get("job") in listed, f"the job is not among {listed}")


def _events(context: OperationContext) -> None:
    events = _object(context, "fine_tunes.events", "-i", context.get("job"))["data"]
    ensure(events[0]["message"].startswith("Created fine-tune: "), f"first: {events[0]}")
    ensure(events[-1]["message"] == "Fine-tune succeeded", f"last: {events[-1]}")


def _interrupted(context: OperationContext) -> None:
    context.write("long.jsonl", as_lines(sentences(30)))
    figures = ["-m", "ada", "--n_epochs", "120", "--batch_size", "1"]
    create = ("api", "fine_tunes.create", "-t", "long.jsonl", *figures)
    openai = context.tool / "openai"
    seen = context.interrupt(openai, *create, when="Fine-tune started")
    seen.expect("Stream interrupted. Job is still running", "openai api fine_tunes.follow -i ft-")
    context.kept["long job"] = _job_of(seen)


def _followed_again(context: OperationContext) -> None:
    job = context.get("long job")
    done = _api(context, "fine_tunes.follow", "-i", job)
    done.expect(f"Created fine-tune: {job}", "Fine-tune started", "Completed epoch 120/120")
    done.expect("Fine-tune succeeded", "openai api completions.create -m ada:ft-local-20")
    _api(context, "fine_tunes.results", "-i", job).expect(_COLUMNS + "\n1,")


def _deleted(context: OperationContext) -> None:
    job = context.get("long job")
    model = _object(context, "fine_tunes.get", "-i", job)["fine_tuned_model"]
    answer = _object(context, "fine_tunes.delete", "-i", job)
    ensure(answer["deleted"] is True, f"the answer is {answer}")
    _api(context, "models.get", "-i", model).expect("HTTP status code: 404", code=1)


def _queued_and_cancelled(context: OperationContext) -> None:
    create = ("fine_tunes.create", "-t", _file_id(context, "long.jsonl"), "-m", "ada")
    first = _object(context, *create, "--n_epochs", "500", "--no_follow")["id"]
    second = _object(context, *create, "--no_follow")["id"]
    third = _object(context, *create, "--no_follow")["id"]
    for job in (third, second, first):
        status = _object(context, "fine_tunes.cancel", "-i", job)["status"]
        ensure(status == "cancelled", f"{job} is {status}")
    _api(context, "fine_tunes.follow", "-i", third).expect("Fine-tune cancelled")


def _file_id(context: OperationContext, name: str) -> str:
    files = _object(context, "files.list")["data"]
    return next(str(file["id"]) for file in files if file["filename"] == name)


def _duplicate(context: OperationContext) -> None:
    """The same file again: the client asks whether to use the one that is there."""
    known = _file_id(context, "long.jsonl")
    create = ("api", "fine_tunes.create", "-t", "long.jsonl", "-m", "ada", "--no_follow")
    done = _call(context, *create, input=f"{known}\n")
    done.expect("Found potentially duplicated files", f"Reusing already uploaded file: {known}")


def _failures(context: OperationContext) -> None:
    _api(context, "fine_tunes.follow", "-i", "ft-none").expect("HTTP status code: 404", code=1)
    missing = _api(context, "fine_tunes.create", "-t", "no/such file.jsonl", "-m", "ada")
    missing.expect("no/such file.jsonl", "HTTP status code: 400", code=1)
    create = ("fine_tunes.create", "-t", _file_id(context, "train.jsonl"))
    suffix = _api(context, *create, "--suffix", "x" * 41)
    suffix.expect("suffix", "HTTP status code: 400", code=1)
    metrics = _api(context, *create, "--compute_classification_metrics")
    metrics.expect("validation file", "HTTP status code: 400", code=1)
    model = _api(context, *create, "-m", "gpt-none")
    model.expect("There is no such model", "HTTP status code: 404", code=1)


def _bad_file(context: OperationContext) -> None:
    context.write("bad.jsonl", '{"prompt": "a", "completion": " b"}\n{"prompt": "a"}\n')
    done = _api(context, "fine_tunes.create", "-t", "bad.jsonl", "-m", "ada")
    done.expect("Fine-tune failed.", "line 2: completion is missing", "Job failed.")


def _complete(context: OperationContext) -> None:
    prompt = sentences(3)[1]["prompt"]
    ask = ("completions.create", "-m", context.get("model"), "-p", prompt, "-t", "0")
    done = _api(context, *ask, "-M", "8").expect()
    ensure(done.out.startswith(prompt), f"the answer is {done.out!r}")


def _complete_streamed(context: OperationContext) -> None:
    prompt = sentences(3)[2]["prompt"]
    ask = ("completions.create", "-m", context.get("model"), "-p", prompt, "-t", "0", "-M", "8")
    whole = _api(context, *ask).expect()
    done = _api(context, *ask, "--stream").expect()
    ensure(done.out == whole.out, f"the stream is {done.out!r}, the whole answer {whole.out!r}")


def _complete_with_options(context: OperationContext) -> None:
    ask = ("completions.create", "-e", context.get("model"), "-p", "The hat is red ->")
    options = ["-M", "8", "-t", "0.5", "-P", "0.9", "-n", "2", "--logprobs", "2", "--stop", "ue"]
    _api(context, *ask, *options).expect("===== Completion 0 =====", "===== Completion 1 =====")


def _models(context: OperationContext) -> None:
    name = context.get("model")
    listed = [model["id"] for model in _object(context, "models.list")["data"]]
    ensure({"ada", "babbage", "curie", "davinci", name} <= set(listed), f"listed are {listed}")
    ensure(_object(context, "models.get", "-i", name)["id"] == name, "models.get gives another")


def _engines(context: OperationContext) -> None:
    listed = [engine["id"] for engine in _object(context, "engines.list")["data"]]
    ensure("ada" in listed, f"listed are {listed}")
    ensure(_object(context, "engines.get", "-i", "ada")["ready"] is True, "ada is not ready")


def _delete_model(context: OperationContext) -> None:
    answer = _object(context, "models.delete", "-i", context.get("model"))
    ensure(answer["deleted"] is True, f"the answer is {answer}")
    listed = [model["id"] for model in _object(context, "models.list")["data"]]
    ensure(context.get("model") not in listed, "the model is still listed")


def _files(context: OperationContext) -> None:
    (context.folder / "sub").mkdir()
    context.write("sub/more rows.jsonl", as_lines(sentences(3)))
    create = ("files.create", "-f", "sub/more rows.jsonl", "-p", "fine-tune")
    made = _object(context, *create)
    ensure(made["filename"] == "more rows.jsonl", f"the file is {made}")
    listed = [file["id"] for file in _object(context, "files.list")["data"]]
    ensure(made["id"] in listed, f"the file is not among {listed}")
    ensure(_object(context, "files.get", "-i", made["id"]) == made, "files.get gives another")
    answer = _object(context, "files.delete", "-i", made["id"])
    ensure(answer["deleted"] is True, f"the answer is {answer}")
    _api(context, "files.get", "-i", made["id"]).expect("HTTP status code: 404", code=1)


def _later_create(context: OperationContext) -> None:
    create = ("fine_tuning.job.create", "-t", "valid.jsonl", "-m", "ada", "--n_epochs", "2")
    done = _api(context, *create).expect()
    job = json.loads(done.out[done.out.index("{") :])
    ensure(job["id"].startswith("ftjob-"), f"the job is {job['id']}")
    context.kept["later job"] = job["id"]


def _later_looks(context: OperationContext) -> None:
    job = context.get("later job")
    _api(context, "fine_tuning.job.list").expect(job)
    _wait_for_later_job(context, job)
    _api(context, "fine_tuning.job.events", "-i", job).expect("successfully completed")
    _api(context, "fine_tuning.job.results", "-i", job).expect("step,epoch,elapsed_tokens")


def _wait_for_later_job(context: OperationContext, job: str) -> None:
    for _ in range(200):
        status = _object(context, "fine_tuning.job.get", "-i", job)["status"]
        if status in ("succeeded", "failed", "cancelled"):
            ensure(status == "succeeded", f"the job has {status}")
            return
    ensure(False, "the job does not end")


def _later_cancel(context: OperationContext) -> None:
    create = ("fine_tuning.job.create", "-t", _file_id(context, "long.jsonl"), "-m", "ada")
    done = _api(context, *create, "--n_epochs", "500").expect()
    job = json.loads(done.out[done.out.index("{") :])["id"]
    status = _object(context, "fine_tuning.job.cancel", "-i", job)["status"]
    ensure(status == "cancelled", f"the job is {status}")


CLIENT = Client(
    name="legacy",
    title="openai 0.28.1, command line",
    install=install,
    environment=environment,
    operations=(
        Operation("tools fine_tunes.prepare_data -f data.json", _prepare_data),
        Operation("fine_tunes.create -t data_prepared.jsonl -m curie", _create_from_prepared),
        Operation("fine_tunes.create, three classes, all options", _create_with_classes),
        Operation("fine_tunes.create, two classes and betas; results", _create_binary),
        Operation("fine_tunes.results", _results),
        Operation("fine_tunes.get", _get),
        Operation("fine_tunes.list", _list),
        Operation("fine_tunes.events", _events),
        Operation("fine_tunes.create, Ctrl-C while following", _interrupted),
        Operation("fine_tunes.follow to the end, then results", _followed_again),
        Operation("fine_tunes.delete", _deleted),
        Operation("fine_tunes.cancel, queued and running", _queued_and_cancelled),
        Operation("fine_tunes.create with a file that is already uploaded", _duplicate),
        Operation("fine_tunes.create with an invalid file", _bad_file),
        Operation("refused: ids, paths, suffix, metrics, model", _failures),
        Operation("completions.create -M -t", _complete),
        Operation("completions.create --stream", _complete_streamed),
        Operation("completions.create -e -P -n --logprobs --stop", _complete_with_options),
        Operation("models.list, models.get", _models),
        Operation("engines.list, engines.get", _engines),
        Operation("models.delete", _delete_model),
        Operation("files.create, list, get, delete", _files),
        Operation("fine_tuning.job.create", _later_create),
        Operation("fine_tuning.job.list, get, events, results", _later_looks),
        Operation("fine_tuning.job.cancel", _later_cancel),
    ),
)
