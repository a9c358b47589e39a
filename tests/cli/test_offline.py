"""`check`, `run --dry-run`, `schema` and `init` need no key, network, engine or home."""

import json
from pathlib import Path

import pytest

from ftops.providers.registry import PROVIDERS
from ftops.spec.job_file import load_job
from tests.cli.running import ftops, write_job, write_rows


@pytest.fixture(autouse=True)
def nothing_is_written(temporary_home: Path) -> object:
    yield
    assert not temporary_home.exists()


def test_check_shows_rows_classes_tokens_cost_and_changes(tmp_path: Path) -> None:
    result = ftops("check", write_job(tmp_path, "prepare: {separator: ' ->'}\n"))
    assert (result.code, result.err) == (0, "")
    assert "12 rows" in result.out
    assert "' 0' x 4" in result.out
    assert "12 of 12 rows of train.jsonl get the separator ' ->'" in result.out
    assert "Job file and data are valid" in result.out


def test_check_as_json_and_quiet(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    document = ftops("check", job, "--json").document
    assert document["problems"] == []
    assert document["estimated_cost_usd"] == 0
    assert isinstance(document["training"], dict)
    assert document["training"]["rows"] == 12
    assert ftops("check", job, "--quiet").out == "ok\n"


def test_check_of_an_openai_job_needs_no_key_and_shows_the_price(tmp_path: Path) -> None:
    job = write_job(tmp_path, provider="openai", model="gpt-4.1-mini-2025-04-14")
    result = ftops("check", job)
    assert result.code == 0
    assert "become chat rows" in result.out
    assert "about $0.00" in result.out
    document = ftops("run", job, "--dry-run", "--json").document
    assert document["row_format"] == "chat"
    assert isinstance(document["request"], dict)
    assert document["request"]["model"] == "gpt-4.1-mini-2025-04-14"


def test_a_dry_run_shows_the_request_and_the_names_of_the_uploads(tmp_path: Path) -> None:
    result = ftops("run", write_job(tmp_path), "--dry-run", "--set", "hyperparameters.n_epochs=7")
    assert result.code == 0
    assert "Nothing was sent." in result.out
    assert "-train.jsonl  from train.jsonl" in result.out
    assert any(line.split() == ["n_epochs", "7"] for line in result.out.splitlines())


def test_an_exceeded_limit_is_an_error_with_the_figures(tmp_path: Path) -> None:
    job = write_job(tmp_path, "limits: {max_training_tokens: 3}\n")
    result = ftops("check", job)
    assert result.code == 1
    assert "cannot be run as it is" in result.out
    assert "max_training_tokens" in result.err
    document = ftops("check", job, "--json").document
    assert document["problems"]
    assert isinstance(document["error"], dict)
    assert document["error"]["type"] == "LimitExceeded"


BAD_JOBS = {
    "empty": b"",
    "comments only": b"# nothing\n",
    "not UTF-8": b"name: \xff\xfe\n",
    "a hundred thousand brackets": b"name: " + b"[" * 100_000,
    "an alias bomb": b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "an unknown key": b"name: a\nprovider: local\nmodel: ada\ntraining_file: train.jsonl\nsed: 1\n",
    "an unknown provider": b"name: a\nprovider: lokal\nmodel: ada\ntraining_file: train.jsonl\n",
    "no such data": b"name: a\nprovider: local\nmodel: ada\ntraining_file: none.jsonl\n",
}


@pytest.mark.parametrize("content", BAD_JOBS.values(), ids=BAD_JOBS.keys())
@pytest.mark.parametrize("command", [("check",), ("run",), ("run", "--dry-run")], ids=" ".join)
def test_a_bad_job_file_is_a_known_error_that_names_it(
    tmp_path: Path, command: tuple[str, ...], content: bytes
) -> None:
    job = write_job(tmp_path)
    job.write_bytes(content)
    result = ftops(command[0], job, *command[1:])
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: ")
    assert "job.yaml" in result.err
    assert "\nnext: " in result.err


def test_missing_and_unreadable_job_files_are_known_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        result = ftops("check", path)
        assert result.code == 1
        assert str(path) in result.err


def test_all_mistakes_of_a_job_file_are_reported_at_once(tmp_path: Path) -> None:
    job = write_job(tmp_path, "seed: -1\nsuffix: 2024\nhyperparameters: {n_epoch: 3}\n")
    text = ftops("check", job).err
    assert all(word in text for word in ("seed", "suffix", "n_epoch", "did you mean 'n_epochs'?"))
    assert "^" in text


def test_bad_rows_are_counted_and_reported_with_their_lines(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    bad = '{"prompt": "a", "completion": null}\nnot json\n' + '{"prompt": 1}\n' * 20
    (tmp_path / "train.jsonl").write_text(bad)
    result = ftops("check", job)
    assert result.code == 1
    assert "22 of 22 rows are bad" in result.err
    assert "train.jsonl:2: not JSON" in result.err
    assert "… and 12 more" in result.err


def test_an_invalid_override_is_reported(tmp_path: Path) -> None:
    result = ftops("check", write_job(tmp_path), "--set", "hyperparameters.n_epochs=none")
    assert result.code == 2
    assert "--set hyperparameters.n_epochs=none" in result.err


def test_schema_is_a_json_schema() -> None:
    schema = json.loads(ftops("schema").out)
    assert "training_file" in schema["properties"]
    assert json.loads(ftops("schema", "--json").out) == schema


def test_init_writes_a_job_file_that_passes_the_check(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "my data.jsonl")
    target = tmp_path / "jobs" / "first.yaml"
    result = ftops("init", data, "-o", target, "--quiet")
    assert (result.code, result.out) == (0, f"{target}\n")
    assert "#" in target.read_text()
    forced = ftops("init", data, "-o", target, "--force", "--json").document
    assert forced == {"job_file": str(target), "training_file": str(data), "rows": 12}
    output = ftops("init", data, "-o", target, "--force").out
    assert f"Next: ftops run {target} --allow-outside" in output  # the data is not in its folder
    assert ftops("check", target).code == 1
    checked = ftops("check", target, "--allow-outside")
    assert (checked.code, checked.err) == (0, "")
    job_file = tmp_path / "first.yaml"
    assert "--allow-outside" not in ftops("init", data, "-o", job_file).out
    assert ftops("check", job_file).code == 0


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_init_writes_a_job_file_for_each_provider(tmp_path: Path, provider: str) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    target = tmp_path / "job.yaml"
    assert ftops("init", data, "-o", target, "--provider", provider).code == 0
    spec = load_job(target, environ={}, providers=PROVIDERS).spec
    assert spec.provider_settings().type == provider
    assert spec.model == (*PROVIDERS[provider].models, "MODEL")[0]


def test_init_for_an_unknown_provider_writes_nothing(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl")
    result = ftops("init", data, "-o", tmp_path / "job.yaml", "--provider", "nebuis")
    assert result.code == 1
    assert "Did you mean 'nebius'?" in result.err
    assert not (tmp_path / "job.yaml").exists()


def test_init_overwrites_only_with_force(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "train.jsonl")
    target = tmp_path / "job.yaml"
    target.write_text("mine")
    refused = ftops("init", data, "-o", target)
    assert refused.code == 1
    assert "--force" in refused.err
    assert target.read_text() == "mine"
    assert ftops("init", data, "-o", target, "--force").code == 0
    assert target.read_text() != "mine"


def test_init_of_bad_data_writes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "bad.jsonl"
    data.write_text("no row\n")
    assert ftops("init", data, "-o", tmp_path / "job.yaml").code == 1
    assert not (tmp_path / "job.yaml").exists()


def test_init_uses_the_plan_of_the_data_and_the_columns_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("line,kind\n" + "".join(f"row {n},part of {n % 3}\n" for n in range(60)))
    columns = ["--prompt", "{line}?", "--completion", "kind"]
    refused = ftops("init", table, "-o", tmp_path / "no.yaml")
    assert refused.code == 1
    assert "--prompt" in refused.err
    job = tmp_path / "rows.yaml"
    assert ftops("init", table, "-o", job, *columns).code == 0
    assert 'prompt: "{line}?"' in job.read_text()
    assert ftops("check", job).code == 0
    ready = tmp_path / "ready.jsonl"
    assert ftops("data", "prepare", table, "-o", ready, "--yes", *columns).code == 0
    planned = tmp_path / "planned.yaml"
    result = ftops("init", ready, "-o", planned, "--json").document
    assert result["plan"] == str(tmp_path / "ready.jsonl.plan.yaml")
    checked = ftops("check", planned, "--json").document
    assert checked["changes"] == ["rows of ready.jsonl by ready.jsonl.plan.yaml: none changed"]
    (tmp_path / "ready.jsonl.plan.yaml").unlink()
    missing = ftops("check", planned)
    assert missing.code == 1
    assert "plan: there is no such file" in missing.err
