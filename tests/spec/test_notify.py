"""The section `notify`: strict and without secrets."""

from pathlib import Path

import pytest

from tests.spec.job_files import MINIMAL, get_first_lines, get_load_error, load_text

HOOK = "  webhook_url: https://hooks.example/ftops\n  webhook_secret_env: HOOK\n"


def test_all_settings_are_read(tmp_path: Path) -> None:
    text = f"{MINIMAL}notify:\n  on: [failure, stall]\n  command: [./tell, '--now']\n{HOOK}"
    text += "  env: [SLACK_CHANNEL, team_2]\n"
    notify = load_text(tmp_path, text).spec.notify
    assert notify.on == ("failure", "stall")
    assert notify.command == ("./tell", "--now")
    assert notify.env == ("SLACK_CHANNEL", "team_2")
    assert notify.webhook_url == "https://hooks.example/ftops"
    assert notify.webhook_secret_env == "HOOK"


def test_all_three_outcomes_are_the_default(tmp_path: Path) -> None:
    notify = load_text(tmp_path, f"{MINIMAL}notify: {{command: [tell]}}\n").spec.notify
    assert notify.on == ("success", "failure", "stall")


def test_env_lists_names_of_variables_without_values(tmp_path: Path) -> None:
    with_values = f"{MINIMAL}notify: {{command: [tell], env: [A=b, '$HOME']}}\n"
    assert "a list of names of environment variables" in get_load_error(tmp_path, with_values)
    assert "A=b" not in get_load_error(tmp_path, with_values).splitlines()[0]
    without_command = f"{MINIMAL}notify:\n{HOOK}  env: [SLACK_CHANNEL]\n"
    assert ":8:3: env has no effect without command" in get_load_error(tmp_path, without_command)


@pytest.mark.parametrize("text", ["", "notify:\n", "notify: {}\n"])
def test_there_are_no_notifications_by_default(tmp_path: Path, text: str) -> None:
    notify = load_text(tmp_path, MINIMAL + text).spec.notify
    assert (notify.command, notify.webhook_url) == (None, None)


def test_notify_is_not_part_of_the_run_key(tmp_path: Path) -> None:
    plain = load_text(tmp_path, MINIMAL).spec
    notified = load_text(tmp_path, f"{MINIMAL}notify:\n{HOOK}").spec
    assert plain.canonical() == notified.canonical()
    assert plain.to_json() != notified.to_json()
    assert type(notified).from_json(notified.to_json()) == notified


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example",
        "https://hooks.example:8443/a/b-c.d",
        "http://localhost:8000/x",
        "http://127.0.0.1/x",
        "http://[::1]:9/x",
    ],
)
def test_a_webhook_uses_tls_or_loopback(tmp_path: Path, url: str) -> None:
    text = f"{MINIMAL}notify: {{webhook_url: '{url}', webhook_secret_env: HOOK}}\n"
    assert load_text(tmp_path, text).spec.notify.webhook_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "http://127.0.0.1.example/x",
        "http://localhost.example/x",
        "http://10.0.0.1/x",
        "ftp://hooks.example/x",
        "https://me@hooks.example/x",
        "https://hooks.example/x?token=1",
        "https://hooks.example/x#part",
        "hooks.example",
        "https://",
        "https://[/",
        "https://host:99999/x",
        "http://127.0.0.1:0/x",
    ],
)
def test_any_other_url_is_refused_with_its_place(tmp_path: Path, url: str) -> None:
    text = f"{MINIMAL}notify:\n  webhook_url: '{url}'\n  webhook_secret_env: HOOK\n"
    (problem,) = get_first_lines(get_load_error(tmp_path, text))
    line = MINIMAL.count("\n") + 2
    assert f":{line}:16: webhook_url must be an address such as https://host/path" in problem


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("  on: []\n  command: [a]\n", "on must be a list of success, failure and stall"),
        ("  on: success\n  command: [a]\n", "on must be a list of success, failure and stall"),
        ("  on: [stall, stall]\n  command: [a]\n", "each once at most"),
        ("  on: [sucess]\n  command: [a]\n", "on[0] must be success, failure or stall"),
        ("  command: tell me\n", "command must be a list of 1 to 64 texts"),
        ("  command: []\n", "command must be a list of 1 to 64 texts"),
        ("  command: [sleep, 5]\n", "command[1] must be text of 1 to 4096 characters, not 5"),
        ("  command: [[a]]\n", "command must be a list of 1 to 64 texts"),
        ("  comand: [a]\n", "unknown key 'comand' under notify"),
        ("  webhook: a\n", "unknown key 'webhook' under notify"),
        ("  on: [success]\n", "notify has no target"),
        ("  webhook_url: https://h/x\n", "a webhook needs a secret"),
        ("  command: [a]\n  webhook_secret_env: HOOK\n", "has no effect without webhook_url"),
        ("  webhook_secret: x\n  command: [a]\n", "unknown key 'webhook_secret' under notify"),
        (HOOK.replace("HOOK", "'hush hush'"), "webhook_secret_env must be the name of an env"),
    ],
)
def test_a_mistake_is_reported_once(tmp_path: Path, lines: str, message: str) -> None:
    (problem,) = get_first_lines(get_load_error(tmp_path, f"{MINIMAL}notify:\n{lines}"))
    assert message in problem


def test_the_error_suggests_the_nearest_outcome_and_quotes_for_a_number(tmp_path: Path) -> None:
    text = get_load_error(tmp_path, f"{MINIMAL}notify: {{on: [sucess], command: [sleep, 5]}}\n")
    assert "did you mean 'success'?" in text
    assert 'put it in quotes: "5"' in text


def test_a_secret_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    for lines in (
        f"  webhook_url: https://h/x\n  webhook_secret_env: {secret}\n",
        f"  command: [curl, -H, '{secret}']\n",
        "  command: [curl, '${HIDDEN}']\n",
    ):
        text = get_load_error(tmp_path, f"{MINIMAL}notify:\n{lines}", environ={"HIDDEN": secret})
        assert secret not in text
