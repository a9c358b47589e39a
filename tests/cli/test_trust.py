"""The targets of a job are shown first, and no key is sent to an address without approval."""

import json
import socket
import stat
from importlib.util import find_spec
from pathlib import Path

import pytest

from ftops.cli.run_context import create_exporter
from ftops.clock import SystemClock
from ftops.errors import ExportFailed
from ftops.exports.exporter import ExportTarget
from ftops.ledger.ledger import Ledger
from ftops.records import Run, RunId, RunStatus, TunedModel
from ftops.spec.job_file import load_job
from tests.cli.running import CommandResult, ftops, write_job, write_rows
from tests.exports.runs import make_run

HOST = "llm.example"
FOREIGN = f"{{type: openai, base_url: 'https://{HOST}/v1', api_key_env: CI_TOKEN}}"
SECRET = "not-to-be-sent-0123456789"
PATH = "T0SECRET/B1PATH"
HOOK = f"notify: {{webhook_url: 'https://hooks.example/services/{PATH}', webhook_secret_env: WS}}\n"


@pytest.fixture(autouse=True)
def resolved_hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that are resolved; every resolution fails."""
    hosts: list[str] = []

    def resolve(host: str, *_rest: object, **_options: object) -> None:
        hosts.append(host)
        raise socket.gaierror("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("CI_TOKEN", SECRET)
    monkeypatch.setenv("DB_PASSWORD", "hunter2-hunter2")
    return hosts


@pytest.fixture
def run_id(temporary_home: Path, tmp_path: Path) -> str:
    """A run with a job and a model at the foreign address."""
    spec = load_job(write_job(tmp_path, provider=FOREIGN, model="babbage-002"), environ={}).spec
    ledger, clock = Ledger(temporary_home / "ledger.db", SystemClock()), SystemClock()
    settings, now = spec.provider_settings(), clock.now()
    run = Run(
        id=RunId("run-20261122-1407-aaaa"), key="k", name="small", status=RunStatus.RUNNING,
        provider=settings, model="babbage-002", spec=spec.to_json(), job_id="ftjob-1",
        job_file=str(tmp_path / "job.yaml"), created_at=now, updated_at=now,
        fine_tuned_model="ft:model",
    )  # fmt: skip
    ledger.add_run(run, if_absent=False)
    ledger.add_model(TunedModel("ft:model", run.id, "ftjob-1", "ada", settings, created_at=now))
    ledger.close()
    return str(run.id)


def test_check_and_dry_run_show_what_is_sent_to_which_address(
    tmp_path: Path, temporary_home: Path
) -> None:
    write_rows(tmp_path / "validation.jsonl", 3)
    text = f"validation_file: validation.jsonl\nmetadata: {{note: '${{DB_PASSWORD}}'}}\n{HOOK}"
    job = write_job(tmp_path, text, provider=FOREIGN, model="babbage-002")
    for words in (("check", job), ("run", job, "--dry-run")):
        result = ftops(*words)
        assert result.code == 0
        shown = " ".join(result.out.split())
        assert f"openai at https://{HOST}/v1, with the key in CI_TOKEN; not approved" in shown
        assert f"`ftops trust https://{HOST} --api-key-env CI_TOKEN`" in shown
        assert "files train.jsonl (482 B), validation.jsonl (120 B)" in shown
        assert "webhook https://hooks.example/***" in shown
        assert "variables DB_PASSWORD in metadata.note" in shown
        assert PATH not in result.out
        assert SECRET not in result.out
        document = ftops(*words, "--json").document["sends"]
        assert document == {
            "to": [
                {
                    "field": "provider",
                    "name": "openai",
                    "address": f"https://{HOST}/v1",
                    "api_key_env": "CI_TOKEN",
                    "api_key_set": True,
                    "approved": False,
                }
            ],
            "files": [
                {"field": "training_file", "name": "train.jsonl", "bytes": 482},
                {"field": "validation_file", "name": "validation.jsonl", "bytes": 120},
            ],
            "webhook": "https://hooks.example/***",
            "variables": [{"name": "DB_PASSWORD", "field": "metadata.note"}],
            "not_sent": ["name"],
            "provider_defaults": {},
        }
    assert not temporary_home.exists()


def test_all_addresses_of_requests_are_listed_once(tmp_path: Path) -> None:
    other = FOREIGN.replace(HOST, "other.example")
    text = f"evaluate: {{against: [{{model: {{name: m, provider: {other}}}}}, base]}}\n"
    job = write_job(tmp_path, text, model="gpt-4.1-mini-2025-04-14", provider="openai")
    sends = ftops("check", job, "--json").document["sends"]
    assert isinstance(sends, dict)
    addresses = {target["field"]: (target["address"], target["approved"]) for target in sends["to"]}  # type: ignore[index,union-attr,call-overload]
    assert addresses == {
        "provider": ("https://api.openai.com/v1", True),
        "evaluate.against.0.model.provider": ("https://other.example/v1", False),
    }
    refused = ftops("run", job)
    assert refused.code == 1
    assert "https://other.example" in refused.err


def test_variables_are_listed_if_they_are_set_and_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "7")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    text = (
        "suffix: a${DB_PASSWORD}\nmetadata: {x: '${NOT_SET:-default}', y: '$${DB_PASSWORD}'}\n"
        "limits:\n  max_training_tokens: ${LIMIT}00000\n"
        "prepare: {system: 'Be ${DB_PASSWORD}'}\n"
    )
    job = write_job(tmp_path, text, provider="openai", model="gpt-4.1-mini-2025-04-14")
    sends = ftops("check", job, "--json").document["sends"]
    assert isinstance(sends, dict)
    assert sends["variables"] == [
        {"name": "DB_PASSWORD", "field": "suffix"},
        {"name": "DB_PASSWORD", "field": "prepare.system"},
        {"name": "OPENAI_ORG_ID", "field": "the organization"},
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "JOB"), ("run", "JOB", "--detach"), ("run", "JOB", "--new"), ("run", "JOB", "-q"),
        ("run", "JOB", "--json"), ("cancel", "JOB"), ("doctor", "JOB"), ("adopt", "ftjob-2", "JOB"),
        ("run", "--all", "FOLDER"), ("data", "preview", "JOB"), ("check", "JOB"),
        ("run", "JOB", "--dry-run"),
    ],
)  # fmt: skip
def test_no_command_with_a_job_file_connects_to_an_address_without_approval(
    tmp_path: Path, resolved_hosts: list[str], temporary_home: Path, words: tuple[str, ...]
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    job = write_job(folder, provider=FOREIGN, model="babbage-002")
    result = ftops(*({"JOB": job, "FOLDER": folder}.get(word, word) for word in words))
    assert resolved_hosts == []
    if words[0] not in ("check", "data") and "--dry-run" not in words:
        assert result.code == 1
        assert f"nothing was sent to https://{HOST}" in result.err + result.out
        assert f"ftops trust https://{HOST} --api-key-env CI_TOKEN" in result.err + result.out
        assert not (temporary_home / "runs").exists()
    assert SECRET not in result.out + result.err


@pytest.mark.parametrize(
    "words",
    [
        ("follow", "RUN"), ("cancel", "RUN"), ("pause", "RUN"), ("resume", "RUN"), ("doctor",),
        ("complete", "-m", "RUN", "-p", "x"), ("chat", "-m", "RUN"),
        ("batch", "FILE", "-m", "ft:model", "-o", "OUT", "-y"),
        ("eval", "RUN", "FILE", "--force"), ("models", "delete", "ft:model", "--yes"),
    ],
)  # fmt: skip
def test_no_command_sends_a_key_to_the_unapproved_address_of_a_run(
    tmp_path: Path, resolved_hosts: list[str], run_id: str, words: tuple[str, ...]
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl")
    replacements: dict[str, str | Path] = {
        "RUN": run_id,
        "FILE": rows,
        "OUT": tmp_path / "answers.jsonl",
    }
    result = ftops(*(replacements.get(word, word) for word in words), stdin="hi\n")
    assert resolved_hosts == []
    assert result.code == 1
    assert f"nothing was sent to https://{HOST}" in result.out + result.err
    assert SECRET not in result.out + result.err


def run_trust(*words: str) -> CommandResult:
    return ftops("trust", *words)


def test_trust_lists_adds_and_removes(temporary_home: Path) -> None:
    assert "No addresses are approved" in run_trust().out
    assert not temporary_home.exists()
    added = run_trust(HOST, "--api-key-env", "CI_TOKEN")
    assert added.out == f"Approved: https://{HOST}  CI_TOKEN\n"
    run_trust(f"https://{HOST}:8443/v1", "--api-key-env", "OTHER")
    run_trust(HOST, "--api-key-env", "OTHER")
    assert run_trust("-q").out.splitlines() == [
        f"https://{HOST}  CI_TOKEN",
        f"https://{HOST}  OTHER",
        f"https://{HOST}:8443  OTHER",
    ]
    assert stat.S_IMODE((temporary_home / "trust.toml").stat().st_mode) == 0o600
    run_trust(HOST, "--remove", "--api-key-env", "OTHER")
    run_trust(f"{HOST}:8443", "--remove")
    assert json.loads(run_trust("--json").out) == [
        {"scheme": "https", "host": HOST, "port": 443, "api_key_env": "CI_TOKEN"}
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((HOST,), "--api-key-env VAR"),
        ((f"http://{HOST}", "--api-key-env", "K"), "--allow-http"),
        (("https://me@host", "--api-key-env", "K"), "must not contain a user"),
        (("ftp://host", "--api-key-env", "K"), "not a valid server address"),
    ],
)
def test_an_invalid_approval_is_refused_with_a_suggestion(
    words: tuple[str, ...], message: str
) -> None:
    result = run_trust(*words)
    assert result.code in (1, 2)
    assert message in " ".join(result.err.replace("│", " ").split())
    assert "No addresses are approved" in run_trust().out


def test_a_host_of_the_option_stays_approved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolved_hosts: list[str]
) -> None:
    monkeypatch.delenv("CI_TOKEN")  # the command ends before it sends anything
    job = write_job(tmp_path, provider=FOREIGN, model="babbage-002")
    for other in ("example", f"{HOST}:8443", f"http://{HOST}", "other.example", ""):
        assert "is not approved" in ftops("run", job, "--trust-host", other).err
    first = ftops("run", job, "--trust-host", HOST)
    assert "CI_TOKEN is not set" in first.err
    shown = " ".join(ftops("run", job, "--dry-run").out.split())
    assert f"sends to openai at https://{HOST}/v1, with the key in CI_TOKEN (not set)" in shown
    assert "files train.jsonl (482 B)" in shown
    assert "CI_TOKEN is not set" in ftops("run", job).err
    assert run_trust("-q").out == f"https://{HOST}  CI_TOKEN\n"
    text = job.read_text().replace("CI_TOKEN", "AWS_SECRET_ACCESS_KEY")
    job.write_text(text)
    other_key = ftops("run", job)
    assert other_key.code == 1
    assert "AWS_SECRET_ACCESS_KEY" in other_key.err
    assert resolved_hosts == []


def test_a_missing_key_is_reported_before_a_run_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    job = write_job(tmp_path, provider="openai", model="babbage-002")
    for words in ((job,), (job, "--new"), ("--all", tmp_path)):
        result = ftops("run", *words)
        assert result.code == 1
        assert "OPENAI_API_KEY is not set" in result.out + result.err
    assert ftops("runs", "--json").out.strip() in ("[]", '{"data": []}')


def test_plain_http_to_another_machine_needs_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI_TOKEN")
    plain = FOREIGN.replace("https", "http")
    job = write_job(tmp_path, provider=plain, model="babbage-002")
    assert "not encrypted" in ftops("check", job).out
    refused = ftops("run", job, "--trust-host", HOST)
    assert (refused.code, "http is not encrypted" in refused.err) == (1, True)
    assert "CI_TOKEN is not set" in ftops("run", job, "--trust-host", HOST, "--allow-http").err
    assert "CI_TOKEN is not set" in ftops("run", job).err


def test_another_address_without_a_key_variable_is_an_error_of_the_job_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    provider = f"\n  type: openai\n  base_url: https://{HOST}/v1"
    job = write_job(tmp_path, provider=provider, model="babbage-002")
    result = ftops("check", job)
    assert result.code == 1
    assert f"{job}:4:13: " in result.err
    assert "OPENAI_API_KEY is for https://api.openai.com/v1 alone" in result.err
    assert "api_key_env: VAR" in result.err
    by_option = ftops("models", "list", "--base-url", f"https://{HOST}/v1")
    assert (by_option.code, "--api-key-env VAR" in by_option.err) == (1, True)


@pytest.mark.parametrize(
    "address",
    ["https://pw-hidden@llm.example/v1", "https://llm.example/v1?api_key=pw-hidden"],
)
def test_a_secret_in_an_address_is_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    job = write_job(tmp_path, provider=FOREIGN.replace(f"https://{HOST}/v1", address))
    for words in (
        ("check", job),
        ("check", job, "--set", f"provider.base_url={address}"),
        ("models", "list", "--base-url", address, "--api-key-env", "CI_TOKEN"),
        ("trust", address, "--api-key-env", "CI_TOKEN"),
    ):
        result = ftops(*words)
        assert result.code == (2 if "--set" in words else 1)
        assert "pw-hidden" not in result.out + result.err


@pytest.mark.parametrize(
    "text",
    [
        f"notify: {{webhook_url: 'https://hooks.example/{PATH}', on: [nonsense]}}\n",
        f"notify: {{webhook_url: 'ftp://hooks.example/{PATH}', webhook_secret_env: WS}}\n",
        f'notify: {{webhook_url: "https://hooks.example/{PATH}, webhook_secret_env: WS}}\n',
        "notify: {webhook_url: 'https://hooks.example/***', webhook_secret_env: WS}\n",
    ],
)
def test_no_error_about_a_job_file_shows_the_path_of_its_webhook(tmp_path: Path, text: str) -> None:
    result = ftops("check", write_job(tmp_path, text))
    assert result.code == 1
    assert "job.yaml:5:" in result.err
    assert PATH not in result.err
    assert "T0SECRET" not in result.err


def test_loopback_and_the_engine_need_no_approval(tmp_path: Path) -> None:
    provider = "{type: openai, base_url: 'http://127.0.0.1:9/v1'}"
    result = ftops("check", write_job(tmp_path, provider=provider, model="babbage-002"))
    assert "openai at http://127.0.0.1:9/v1, without a key" in " ".join(result.out.split())
    assert "not approved" not in result.out
    local = ftops("check", write_job(tmp_path))
    assert "sends to local, on this machine" in " ".join(local.out.split())


def test_a_run_stays_open_if_its_address_is_no_longer_approved(
    run_id: str, temporary_home: Path
) -> None:
    assert ftops("follow", run_id).code == 1
    ledger = Ledger(temporary_home / "ledger.db", SystemClock())
    assert ledger.get_run(run_id).status in (RunStatus.PENDING, RunStatus.RUNNING)
    ledger.close()


@pytest.mark.skipif(find_spec("mlflow") is None, reason="MLflow is not installed")
@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_tracking_uri_of_the_job_file_needs_an_approval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolved_hosts: list[str], scheme: str
) -> None:
    uri = f"{scheme}://{HOST}"
    job = write_job(tmp_path, f"export: [{{mlflow: {{tracking_uri: '{uri}'}}}}]\n")
    shown = ftops("check", job)
    assert (shown.code, f"mlflow at {uri}" in shown.out) == (0, True)
    refused = ftops("run", job)
    assert refused.code == 1
    assert f"ftops trust https://{HOST} --api-key-env MLFLOW_TRACKING_TOKEN" in refused.err
    with pytest.raises(ExportFailed, match="is not approved"):
        create_exporter().export(
            make_run(), ExportTarget("mlflow", {"tracking_uri": uri}, tmp_path)
        )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "mlflow at" not in ftops("check", job).out
    assert resolved_hosts == []
