"""openai 0.28.1: the command line of the legacy protocol, every command unmodified."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.environments import make_venv
from conformance.operation import Client, Operation, Output, Scene, ensure
from conformance.rows import as_lines, sentences, yes_or_no
from ftops.records import EngineAddress

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


def environment(engine: EngineAddress) -> Mapping[str, str]:
    return {"OPENAI_API_BASE": engine.base_url, "OPENAI_API_KEY": engine.token}


def _call(scene: Scene, *arguments: str, input: str = "") -> Output:
    return scene.run(scene.tool / "openai", *arguments, input=input)


def _api(scene: Scene, *arguments: str) -> Output:
    return _call(scene, "api", *arguments)


def _object(scene: Scene, *arguments: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(_api(scene, *arguments).expect().out)


def _job_of(output: Output) -> str:
    return output.out.partition("Created fine-tune: ")[2].split()[0]


def _model_of(output: Output) -> str:
    return output.out.partition("Uploaded model: ")[2].split()[0]


def _prepare_data(scene: Scene) -> None:
    rows = [{**row, "prompt": row["prompt"].removesuffix(" ->")} for row in sentences()]
    scene.write("data.json", json.dumps(rows))
    # Two questions are answered with yes, the split into two files with no.
    _call(scene, "tools", "fine_tunes.prepare_data", "-f", "data.json", input="y\nn\ny\ny\ny\n")
    ensure((scene.folder / "data_prepared.jsonl").exists(), "data_prepared.jsonl was not written")


def _create_from_prepared(scene: Scene) -> None:
    done = _api(scene, "fine_tunes.create", "-t", "data_prepared.jsonl", "-m", "curie")
    done.expect("Uploaded file from data_prepared.jsonl: file-", *_LIFE)
    ensure(_model_of(done).startswith("curie:ft-local-20"), f"the model is {_model_of(done)}")


def _create_with_classes(scene: Scene) -> None:
    scene.write("train.jsonl", as_lines(sentences(240)))
    scene.write("valid.jsonl", as_lines(sentences(30)))
    files = ("-t", "train.jsonl", "-v", "valid.jsonl", "-m", "ada", "--suffix", "my_model_name")
    figures = ["--n_epochs", "4", "--batch_size", "8", "--learning_rate_multiplier", "0.1"]
    metrics = ["--compute_classification_metrics", "--classification_n_classes", "3"]
    done = _api(scene, "fine_tunes.create", *files, *figures, *metrics).expect(*_LIFE)
    scene.kept["job"], scene.kept["model"] = _job_of(done), _model_of(done)
    name = scene.kept["model"]
    ensure(name.startswith("ada:ft-local:my-model-name-20"), f"the model is {name}")


def _create_binary(scene: Scene) -> None:
    scene.write("train2.jsonl", as_lines(yes_or_no(90)))
    scene.write("valid2.jsonl", as_lines(yes_or_no(30)))
    files = ("-t", "train2.jsonl", "-v", "valid2.jsonl", "-m", "ada")
    metrics = ("--compute_classification_metrics", "--classification_positive_class", " yes")
    betas = ("--classification_betas", "0.5", "2")
    done = _api(scene, "fine_tunes.create", *files, *metrics, *betas).expect(*_LIFE)
    names = ["accuracy", "precision", "recall", "f1.0", "f0.5", "f2.0", "auroc", "auprc"]
    results = _api(scene, "fine_tunes.results", "-i", _job_of(done))
    results.expect(_COLUMNS + _VALIDATION + "".join(f",classification/{name}" for name in names))
    last = results.out.split()[-1].split(",")
    ensure(all(0 <= float(value) <= 1 for value in last[-8:]), f"the last row is {last}")


def _results(scene: Scene) -> None:
    metrics = ",classification/accuracy,classification/weighted_f1_score"
    done = _api(scene, "fine_tunes.results", "-i", scene.get("job"))
    rows = done.expect(_COLUMNS + _VALIDATION + metrics).out.split()
    ensure(len(rows) == 121, f"{len(rows)} lines for 120 steps")
    accuracy = float(rows[-1].split(",")[-2])
    ensure(accuracy > 0.5, f"the model is right of {accuracy:.2f} of the validation rows")


def _get(scene: Scene) -> None:
    job = _object(scene, "fine_tunes.get", "-i", scene.get("job"))
    ensure(job["status"] == "succeeded", f"the status is {job['status']}")
    ensure(job["hyperparams"]["batch_size"] == 8, f"hyperparams are {job['hyperparams']}")
    ensure(job["result_files"][0]["object"] == "file", f"result_files: {job['result_files']}")


def _list(scene: Scene) -> None:
    listed = [job["id"] for job in _object(scene, "fine_tunes.list")["data"]]
    ensure(scene.get("job") in listed, f"the job is not among {listed}")


def _events(scene: Scene) -> None:
    events = _object(scene, "fine_tunes.events", "-i", scene.get("job"))["data"]
    ensure(events[0]["message"].startswith("Created fine-tune: "), f"first: {events[0]}")
    ensure(events[-1]["message"] == "Fine-tune succeeded", f"last: {events[-1]}")


def _interrupted(scene: Scene) -> None:
    scene.write("long.jsonl", as_lines(sentences(30)))
    figures = ["-m", "ada", "--n_epochs", "120", "--batch_size", "1"]
    create = ("api", "fine_tunes.create", "-t", "long.jsonl", *figures)
    openai = scene.tool / "openai"
    seen = scene.interrupt(openai, *create, when="Fine-tune started")
    seen.expect("Stream interrupted. Job is still running", "openai api fine_tunes.follow -i ft-")
    scene.kept["long job"] = _job_of(seen)


def _followed_again(scene: Scene) -> None:
    job = scene.get("long job")
    done = _api(scene, "fine_tunes.follow", "-i", job)
    done.expect(f"Created fine-tune: {job}", "Fine-tune started", "Completed epoch 120/120")
    done.expect("Fine-tune succeeded", "openai api completions.create -m ada:ft-local-20")
    _api(scene, "fine_tunes.results", "-i", job).expect(_COLUMNS + "\n1,")


def _deleted(scene: Scene) -> None:
    job = scene.get("long job")
    model = _object(scene, "fine_tunes.get", "-i", job)["fine_tuned_model"]
    answer = _object(scene, "fine_tunes.delete", "-i", job)
    ensure(answer["deleted"] is True, f"the answer is {answer}")
    _api(scene, "models.get", "-i", model).expect("HTTP status code: 404", code=1)


def _queued_and_cancelled(scene: Scene) -> None:
    create = ("fine_tunes.create", "-t", _file_id(scene, "long.jsonl"), "-m", "ada")
    first = _object(scene, *create, "--n_epochs", "500", "--no_follow")["id"]
    second = _object(scene, *create, "--no_follow")["id"]
    third = _object(scene, *create, "--no_follow")["id"]
    for job in (third, second, first):
        status = _object(scene, "fine_tunes.cancel", "-i", job)["status"]
        ensure(status == "cancelled", f"{job} is {status}")
    _api(scene, "fine_tunes.follow", "-i", third).expect("Fine-tune cancelled")


def _file_id(scene: Scene, name: str) -> str:
    files = _object(scene, "files.list")["data"]
    return next(str(file["id"]) for file in files if file["filename"] == name)


def _duplicate(scene: Scene) -> None:
    """The same file again: the client asks whether to use the one that is there."""
    known = _file_id(scene, "long.jsonl")
    create = ("api", "fine_tunes.create", "-t", "long.jsonl", "-m", "ada", "--no_follow")
    done = _call(scene, *create, input=f"{known}\n")
    done.expect("Found potentially duplicated files", f"Reusing already uploaded file: {known}")


def _failures(scene: Scene) -> None:
    _api(scene, "fine_tunes.follow", "-i", "ft-none").expect("HTTP status code: 404", code=1)
    missing = _api(scene, "fine_tunes.create", "-t", "no/such file.jsonl", "-m", "ada")
    missing.expect("no/such file.jsonl", "HTTP status code: 400", code=1)
    create = ("fine_tunes.create", "-t", _file_id(scene, "train.jsonl"))
    suffix = _api(scene, *create, "--suffix", "x" * 41)
    suffix.expect("suffix", "HTTP status code: 400", code=1)
    metrics = _api(scene, *create, "--compute_classification_metrics")
    metrics.expect("validation file", "HTTP status code: 400", code=1)
    model = _api(scene, *create, "-m", "gpt-none")
    model.expect("gpt-none", "HTTP status code: 404", code=1)


def _bad_file(scene: Scene) -> None:
    scene.write("bad.jsonl", '{"prompt": "a", "completion": " b"}\n{"prompt": "a"}\n')
    done = _api(scene, "fine_tunes.create", "-t", "bad.jsonl", "-m", "ada")
    done.expect("Fine-tune failed.", "line 2: completion is missing", "Job failed.")


def _complete(scene: Scene) -> None:
    prompt = sentences(3)[1]["prompt"]
    ask = ("completions.create", "-m", scene.get("model"), "-p", prompt, "-t", "0")
    done = _api(scene, *ask, "-M", "8").expect()
    ensure(done.out.startswith(prompt), f"the answer is {done.out!r}")


def _complete_streamed(scene: Scene) -> None:
    prompt = sentences(3)[2]["prompt"]
    ask = ("completions.create", "-m", scene.get("model"), "-p", prompt, "-t", "0", "-M", "8")
    whole = _api(scene, *ask).expect()
    done = _api(scene, *ask, "--stream").expect()
    ensure(done.out == whole.out, f"the stream is {done.out!r}, the whole answer {whole.out!r}")


def _complete_with_options(scene: Scene) -> None:
    ask = ("completions.create", "-e", scene.get("model"), "-p", "The hat is red ->")
    options = ["-M", "8", "-t", "0.5", "-P", "0.9", "-n", "2", "--logprobs", "2", "--stop", "ue"]
    _api(scene, *ask, *options).expect("===== Completion 0 =====", "===== Completion 1 =====")


def _models(scene: Scene) -> None:
    name = scene.get("model")
    listed = [model["id"] for model in _object(scene, "models.list")["data"]]
    ensure({"ada", "babbage", "curie", "davinci", name} <= set(listed), f"listed are {listed}")
    ensure(_object(scene, "models.get", "-i", name)["id"] == name, "models.get gives another")


def _engines(scene: Scene) -> None:
    listed = [engine["id"] for engine in _object(scene, "engines.list")["data"]]
    ensure("ada" in listed, f"listed are {listed}")
    ensure(_object(scene, "engines.get", "-i", "ada")["ready"] is True, "ada is not ready")


def _delete_model(scene: Scene) -> None:
    answer = _object(scene, "models.delete", "-i", scene.get("model"))
    ensure(answer["deleted"] is True, f"the answer is {answer}")
    listed = [model["id"] for model in _object(scene, "models.list")["data"]]
    ensure(scene.get("model") not in listed, "the model is still listed")


def _files(scene: Scene) -> None:
    (scene.folder / "sub").mkdir()
    scene.write("sub/more rows.jsonl", as_lines(sentences(3)))
    create = ("files.create", "-f", "sub/more rows.jsonl", "-p", "fine-tune")
    made = _object(scene, *create)
    ensure(made["filename"] == "more rows.jsonl", f"the file is {made}")
    listed = [file["id"] for file in _object(scene, "files.list")["data"]]
    ensure(made["id"] in listed, f"the file is not among {listed}")
    ensure(_object(scene, "files.get", "-i", made["id"]) == made, "files.get gives another")
    answer = _object(scene, "files.delete", "-i", made["id"])
    ensure(answer["deleted"] is True, f"the answer is {answer}")
    _api(scene, "files.get", "-i", made["id"]).expect("HTTP status code: 404", code=1)


def _later_create(scene: Scene) -> None:
    create = ("fine_tuning.job.create", "-t", "valid.jsonl", "-m", "ada", "--n_epochs", "2")
    done = _api(scene, *create).expect()
    job = json.loads(done.out[done.out.index("{") :])
    ensure(job["id"].startswith("ftjob-"), f"the job is {job['id']}")
    scene.kept["later job"] = job["id"]


def _later_looks(scene: Scene) -> None:
    job = scene.get("later job")
    _api(scene, "fine_tuning.job.list").expect(job)
    _wait_for_later_job(scene, job)
    _api(scene, "fine_tuning.job.events", "-i", job).expect("successfully completed")
    _api(scene, "fine_tuning.job.results", "-i", job).expect("step,epoch,elapsed_tokens")


def _wait_for_later_job(scene: Scene, job: str) -> None:
    for _ in range(200):
        status = _object(scene, "fine_tuning.job.get", "-i", job)["status"]
        if status in ("succeeded", "failed", "cancelled"):
            ensure(status == "succeeded", f"the job has {status}")
            return
    ensure(False, "the job does not end")


def _later_cancel(scene: Scene) -> None:
    create = ("fine_tuning.job.create", "-t", _file_id(scene, "long.jsonl"), "-m", "ada")
    done = _api(scene, *create, "--n_epochs", "500").expect()
    job = json.loads(done.out[done.out.index("{") :])["id"]
    status = _object(scene, "fine_tuning.job.cancel", "-i", job)["status"]
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
        Operation("fine_tunes.create, Ctrl-C while it follows", _interrupted),
        Operation("fine_tunes.follow to the end, then results", _followed_again),
        Operation("fine_tunes.delete", _deleted),
        Operation("fine_tunes.cancel, queued and running", _queued_and_cancelled),
        Operation("fine_tunes.create with a file that is there already", _duplicate),
        Operation("fine_tunes.create with a bad file", _bad_file),
        Operation("what is refused: ids, paths, suffix, metrics, model", _failures),
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
