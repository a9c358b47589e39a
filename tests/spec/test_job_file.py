"""Valid job files, and the errors about invalid ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from ftops.capabilities import Capabilities, Naming
from ftops.errors import SpecError, UsageError
from ftops.providers.registry import (
    CLOSED_PROVIDERS,
    PROVIDERS,
    find_closed,
    get_capabilities,
)
from ftops.records import (
    ProviderSettings,
)
from ftops.spec.job_file import (
    LoadedJob,
    check_paths,
    check_provider,
    leads_outside,
    list_code,
    list_defaults,
    list_unsent,
    load_job,
    resolve_data,
)
from ftops.spec.model import JobSpec
from tests.spec.job_files import MINIMAL, get_first_lines, get_load_error, load_text, write_job

CAPABILITIES = Capabilities(
    suffix_max=18, hyperparameters=frozenset({"n_epochs"}), metadata=False, seed=False
)


def test_a_minimal_job_file_gets_every_default(tmp_path: Path) -> None:
    job = load_text(tmp_path, MINIMAL)
    assert job.path == tmp_path / "job.yaml"
    assert job.text == MINIMAL
    assert job.spec.hyperparameters.n_epochs == "auto"
    assert job.spec.evaluate.max_rows == 1000
    assert job.spec.limits.max_wait_s is None
    assert job.spec.provider_settings() == ProviderSettings(type="local")


def test_every_field_is_read(tmp_path: Path) -> None:
    spec = load_text(
        tmp_path,
        """\
name: full
provider: {type: openai, base_url: "https://host/v1/", api_key_env: MY_KEY, project: p}
model: babbage-002
suffix: short
training_file: train.jsonl
validation_file: file-abc123
hyperparameters:
  n_epochs: 4
  batch_size: 8
  learning_rate_multiplier: 1e-1
  prompt_loss_weight: 0
  compute_classification_metrics: true
  classification_positive_class: yes
  classification_betas: [0.5, 1]
seed: 42
metadata: {team: search}
prepare: {format: completion, separator: "\\n\\n###\\n\\n", stop: END}
evaluate: {file: test.jsonl, max_rows: 5, max_tokens: 7}
limits: {max_cost_usd: 5, max_training_tokens: 2000000, max_wait: 1h30m}
""",
    ).spec
    assert spec.provider_settings() == ProviderSettings(
        type="openai", base_url="https://host/v1", api_key_env="MY_KEY", project="p"
    )
    record = spec.hyperparameters.to_record()
    assert (record.n_epochs, record.batch_size) == (4, 8)
    assert record.learning_rate_multiplier == 0.1
    assert record.classification_positive_class == "yes"
    assert record.classification_betas == (0.5, 1.0)
    assert spec.prepare.separator == "\n\n###\n\n"
    assert spec.limits.max_wait_s == 5400


def test_an_unknown_key_is_reported_with_its_place_and_the_nearest_one(tmp_path: Path) -> None:
    text = MINIMAL + "hyperparameters:\n  n_epoch: 4\n"
    assert get_load_error(tmp_path, text) == (
        "job.yaml:6:3: unknown key 'n_epoch' under hyperparameters\n"
        "      n_epoch: 4\n"
        "      ^^^^^^^\n"
        "    did you mean 'n_epochs'?"
    )


def test_the_section_of_a_misplaced_key_is_suggested(tmp_path: Path) -> None:
    assert "did you mean 'n_epochs' under hyperparameters?" in get_load_error(
        tmp_path, MINIMAL + "n_epochs: 4\n"
    )
    assert "did you mean 'suffix' at the top level?" in get_load_error(
        tmp_path, MINIMAL + "prepare: {suffix: a}\n"
    )


def test_the_error_about_an_unfamiliar_key_lists_the_known_keys(tmp_path: Path) -> None:
    message = get_load_error(tmp_path, MINIMAL + "prepare: {zzz: 1}\n")
    assert "known here: format, separator, stop, system" in message


def test_all_problems_are_reported_at_once_in_file_order(tmp_path: Path) -> None:
    message = get_load_error(
        tmp_path,
        """\
name: two words
model: ada
trainingfile: a.jsonl
seed: -1
suffix: 2024
hyperparameters:
  n_epochs: three
  batch_size: "8"
  classification_betas: [1, x]
seed: 3
""",
    )
    assert get_first_lines(message) == [
        "job.yaml:1:1: provider is missing",
        "job.yaml:1:7: name must be text of 1 to 64 characters without spaces or slashes,"
        " a letter or digit first, not 'two words'",
        "job.yaml:3:1: unknown key 'trainingfile'",
        "job.yaml:4:7: seed must be a whole number from 0 to 2147483647, not -1",
        "job.yaml:5:9: suffix must be text of 1 to 64 characters, not 2024",
        "job.yaml:7:13: n_epochs must be \"auto\" or a whole number from 1 to 1000, not 'three'",
        "job.yaml:8:15: batch_size must be \"auto\" or a whole number from 1 to 256, not '8'",
        "job.yaml:9:3: classification_betas has no effect without"
        " compute_classification_metrics: true",
        "job.yaml:9:29: classification_betas[1] must be a number above 0, at most 100, not 'x'",
        "job.yaml:10:1: duplicate key 'seed'; it is already in line 4",
    ]


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("suffix: 2024", 'put it in quotes: "2024"'),
        ("metadata: {run: 3}", 'put it in quotes: "3"'),
        ('hyperparameters: {n_epochs: "3"}', "write it without quotes: 3"),
        ("hyperparameters: {n_epochs: Auto}", "did you mean 'auto'?"),
        ("prepare: {format: chats}", "did you mean 'chat'?"),
        ("hyperparameters: {compute_classification_metrics: yes}", "write true"),
        ('hyperparameters: {compute_classification_metrics: "false"}', "write it without quotes"),
    ],
)
def test_a_wrong_value_is_reported_with_a_suggestion(
    tmp_path: Path, line: str, suggestion: str
) -> None:
    assert suggestion in get_load_error(tmp_path, f"{MINIMAL}{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "hyperparameters: {n_epochs: 0}",
        "hyperparameters: {n_epochs: 1001}",
        "hyperparameters: {n_epochs: 3.0}",
        "hyperparameters: {n_epochs: true}",
        "hyperparameters: {n_epochs: null}",
        "hyperparameters: {n_epochs: [3]}",
        "hyperparameters: {batch_size: 257}",
        "hyperparameters: {learning_rate_multiplier: 0}",
        "hyperparameters: {learning_rate_multiplier: 101}",
        "hyperparameters: {learning_rate_multiplier: 1e999}",
        "hyperparameters: {prompt_loss_weight: 1.1}",
        "hyperparameters: {prompt_loss_weight: .nan}",
        "hyperparameters: 3",
        "hyperparameters: []",
        "seed: 2147483648",
        "seed: 99999999999999999999999999999999999999999999999999",
        "suffix: ''",
        f"suffix: {'x' * 65}",
        "metadata: [a]",
        f"metadata: {{{', '.join(f'k{i}: v' for i in range(15))}}}",
        f"metadata: {{{'k' * 65}: v}}",
        f"metadata: {{k: {'v' * 513}}}",
        "metadata: {k: null}",
        "metadata: {ftops_run: mine}",
        "limits: {max_wait: 90}",
        "limits: {max_wait: 6 h}",
        "limits: {max_wait: 0s}",
        "limits: {max_wait: 400d}",
        "limits: {max_cost_usd: -1}",
        "limits: {max_training_tokens: 0}",
        "evaluate: {max_rows: 0}",
        "prepare: {separator: ''}",
        "validation_file: ''",
        "validation_file: train.jsonl",
    ],
)
def test_a_value_out_of_bounds_is_one_problem_in_its_own_line(tmp_path: Path, line: str) -> None:
    problems = get_first_lines(get_load_error(tmp_path, f"{MINIMAL}{line}\n"))
    assert len(problems) == 1
    assert problems[0].startswith("job.yaml:5:")


@pytest.mark.parametrize(
    "provider",
    [
        "{base_url: 'https://host'}",
        "{type: openai, base_url: ftp://host}",
        "{type: openai, base_url: host/v1}",
        "{type: openai, base_url: 'https://host/v1?key=1'}",
        "{type: openai, api_key_env: not-a-name}",
        "{type: openai, api_key_env: d41d8cd98f00b204e9800998ecf8427e}",
        "{type: openai, nonsense: 1}",
        "[openai]",
        "3",
        "''",
        "Local!",
    ],
)
def test_a_wrong_provider_is_one_problem_in_its_own_line(tmp_path: Path, provider: str) -> None:
    text = MINIMAL.replace("local", provider)
    problems = get_first_lines(get_load_error(tmp_path, text))
    assert len(problems) == 1
    assert problems[0].startswith("job.yaml:2:")


def test_booleans_and_dates_of_yaml_1_1_are_text(tmp_path: Path) -> None:
    for word in ("yes", "no", "on", "2026-11-22", "12:30", "1_000", ".inf"):
        assert load_text(tmp_path, f"{MINIMAL}suffix: {word}\n").spec.suffix == word


def test_an_empty_section_has_the_defaults(tmp_path: Path) -> None:
    text = (
        MINIMAL + "hyperparameters:\n  # n_epochs: 3\nlimits:\nmetadata:\nprepare: ~\nevaluate:\n"
    )
    assert load_text(tmp_path, text).spec == load_text(tmp_path, MINIMAL).spec


def test_the_error_about_a_missing_job_file_suggests_init(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file") as caught:
        load_job(tmp_path / "no.yaml", environ={})
    assert "ftops init" in caught.value.hint


def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="this is a folder"):
        load_job(tmp_path, environ={})
    with pytest.raises(SpecError, match="not a regular file"):
        load_job(Path("/dev/null"), environ={})
    with pytest.raises(SpecError, match="cannot be read"):
        load_job(tmp_path / "a\0b", environ={})
    with pytest.raises(SpecError, match=r"no such file|cannot be read"):
        load_job(write_job(tmp_path, MINIMAL) / "deeper", environ={})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "job.yaml: the file is empty"),
        (" \n\n", "job.yaml: the file is empty"),
        ("# only this\n", "job.yaml:1:1: the file contains only comments"),
        ("- a\n- b\n", "job.yaml:1:1: a job file is a mapping of fields, not a list"),
        ("name:news\n", "job.yaml:1:1: a job file is a mapping of fields, not a single value"),
        ("---\n", "job.yaml:2:1: a job file is a mapping of fields, not a single value"),
    ],
)
def test_a_document_that_is_not_a_mapping_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    assert get_first_lines(get_load_error(tmp_path, text)) == [reason]


def test_data_paths_are_relative_to_the_job_file_and_file_ids_are_not_paths(tmp_path: Path) -> None:
    job_file = tmp_path / "jobs" / "a.yaml"
    assert (
        resolve_data(job_file, "data/x.jsonl", Naming()) == tmp_path / "jobs" / "data" / "x.jsonl"
    )
    assert resolve_data(job_file, "/data/x.jsonl", Naming()) == Path("/data/x.jsonl")
    assert resolve_data(job_file, "file-Ab12", Naming()) is None
    assert resolve_data(job_file, "file-1.jsonl", Naming()) == tmp_path / "jobs" / "file-1.jsonl"


def test_fields_that_the_provider_does_not_support_are_reported_at_their_places(
    tmp_path: Path,
) -> None:
    text = MINIMAL + (
        "suffix: a-rather-long-suffix\n"
        "hyperparameters: {n_epochs: 2, batch_size: 4, prompt_loss_weight: 0.1}\n"
        "evaluate: {precision: fp32}\n"
    )
    with pytest.raises(SpecError) as caught:
        check_provider(load_text(tmp_path, text), CAPABILITIES)
    assert get_first_lines(caught.value.message.replace(f"{tmp_path}/", "")) == [
        "job.yaml:5:9: local allows a suffix of at most 18 characters; this one has 20",
        "job.yaml:6:32: local takes no batch_size",
        "job.yaml:6:47: local takes no prompt_loss_weight",
        "job.yaml:7:12: local takes no precision of the weights of ada",
    ]


@pytest.mark.parametrize(
    ("capabilities", "unsent"),
    [
        (replace(CAPABILITIES, metadata=True, seed=True), ["name"]),
        (
            replace(CAPABILITIES, metadata=True, custom_metadata=False, seed=True),
            ["name", "metadata"],
        ),
        (CAPABILITIES, ["name", "metadata", "seed"]),
    ],
)
def test_fields_that_do_not_change_the_training_are_not_sent_where_they_are_not_taken(
    tmp_path: Path, capabilities: Capabilities, unsent: list[str]
) -> None:
    job = load_text(tmp_path, MINIMAL + "seed: 1\nmetadata: {a: b}\n")
    check_provider(job, capabilities)
    assert list_unsent(job.spec, capabilities) == unsent


def test_auto_that_is_not_sent_has_the_default_of_the_provider(tmp_path: Path) -> None:
    capabilities = replace(
        CAPABILITIES,
        hyperparameters=frozenset({"n_epochs", "batch_size", "learning_rate"}),
        auto=False,
        defaults={"n_epochs": "3", "learning_rate": "1e-05", "batch_size": "8"},
    )
    spec = load_text(tmp_path, MINIMAL + "hyperparameters: {batch_size: 4}\n").spec
    assert list_defaults(spec, capabilities) == {"n_epochs": "3", "learning_rate": "1e-05"}
    unknown = replace(capabilities, defaults={})
    assert list_defaults(spec, unknown) == {"n_epochs": "chosen by the provider"}
    assert list_defaults(spec, replace(unknown, auto=True)) == {}


def test_a_multiplier_is_refused_with_the_absolute_rate_to_write_instead(tmp_path: Path) -> None:
    capabilities = replace(
        CAPABILITIES,
        hyperparameters=frozenset({"learning_rate"}),
        defaults={"learning_rate": "1e-05"},
    )
    job = load_text(tmp_path, MINIMAL + "hyperparameters: {learning_rate_multiplier: 2}\n")
    with pytest.raises(SpecError) as caught:
        check_provider(job, capabilities)
    assert "job.yaml:5:19: local takes no learning_rate_multiplier" in caught.value.message
    assert "write learning_rate instead (the default is 1e-05)" in caught.value.message
    assert "one cannot be converted into the other" in caught.value.message


@pytest.mark.parametrize("name", sorted(CLOSED_PROVIDERS))
def test_a_closed_provider_is_refused_with_its_date_and_what_comes_nearest(
    tmp_path: Path, name: str
) -> None:
    path = write_job(tmp_path, MINIMAL.replace("local", name))
    with pytest.raises(SpecError) as caught:
        load_job(path, environ={}, providers=PROVIDERS, find_closed=find_closed)
    since = CLOSED_PROVIDERS[name].since
    assert f"job.yaml:2:11: {name} has taken no new fine-tuning jobs since {since}" in str(
        caught.value
    )
    assert "nearest to it: " in str(caught.value)


def test_settings_of_chats_are_refused_for_a_provider_without_chats(tmp_path: Path) -> None:
    text = MINIMAL.replace("local", "{type: local, protocol: legacy}")
    text += 'prepare:\n  format: chat\n  system: "Be brief."\n'
    capabilities = replace(CAPABILITIES, chats=False)
    job = load_text(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        check_provider(job, capabilities)
    no_chats = "local (legacy protocol) takes prompts and completions, no chats"
    assert get_first_lines(caught.value.message.replace(f"{tmp_path}/", "")) == [
        f"job.yaml:6:3: {no_chats}",
        f"job.yaml:7:3: {no_chats}",
    ]
    check_provider(load_text(tmp_path, MINIMAL + "prepare: {format: completion}\n"), capabilities)


def test_the_protocol_is_current_or_legacy(tmp_path: Path) -> None:
    def load(provider: str) -> JobSpec:
        return load_text(tmp_path, MINIMAL.replace("local", provider)).spec

    legacy, current, plain = (
        load(provider)
        for provider in (
            "{type: local, protocol: legacy}",
            "{type: local, protocol: current}",
            "local",
        )
    )
    assert legacy.provider_settings() == ProviderSettings("local", protocol="legacy")
    assert current.provider_settings() == plain.provider_settings()
    assert current.canonical() == plain.canonical() != legacy.canonical()
    assert JobSpec.from_json(legacy.canonical()).canonical() == legacy.canonical()


def test_an_unknown_protocol_is_reported_at_its_place_with_the_nearest(tmp_path: Path) -> None:
    text = MINIMAL.replace("local", "{type: local, protocol: legasy}")
    message = get_load_error(tmp_path, text)
    assert "job.yaml:2:35: provider.protocol must be current or legacy, not 'legasy'" in message
    assert "did you mean 'legacy'?" in message


def test_auto_and_null_are_accepted_for_unsupported_fields(tmp_path: Path) -> None:
    text = MINIMAL + "hyperparameters: {batch_size: auto, prompt_loss_weight: null}\nseed: null\n"
    check_provider(load_text(tmp_path, text), CAPABILITIES)


def test_an_unknown_provider_is_reported_together_with_other_problems(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(MINIMAL.replace("local", "{type: opnai}") + "seed: yes\n")
    with pytest.raises(SpecError) as caught:
        load_job(path, environ={}, providers=PROVIDERS)
    assert "job.yaml:2:18: unknown provider 'opnai'" in caught.value.message
    assert "did you mean 'openai'?" in caught.value.message
    assert "seed must be a whole number" in caught.value.message
    path.write_text(MINIMAL)
    assert load_job(path, environ={}, providers=PROVIDERS).spec.provider == "local"


def test_a_method_that_the_provider_does_not_offer_is_reported_with_its_place(
    tmp_path: Path,
) -> None:
    job = load_text(tmp_path, MINIMAL + "method: dpo\n")
    with pytest.raises(
        SpecError, match=r"job\.yaml:5:9: local supports only the method supervised"
    ):
        check_provider(job, CAPABILITIES)


@pytest.mark.parametrize(
    ("base_url", "suggestion"),
    [
        ("https://host/v1/v1", "https://host/v1"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("http://host:8080/v1/fine_tuning/jobs/", "http://host:8080/v1"),
        ("https://host/v1/v1/models", "https://host/v1"),
        ("https://host/openai/v1/files", "https://host/openai/v1"),
        ("https://host/v1/fine-tunes", "https://host/v1"),
        ("https://host/api/chat/completions", "https://host/api"),
    ],
)
def test_a_base_url_with_a_route_is_refused_with_a_suggestion(
    tmp_path: Path, base_url: str, suggestion: str
) -> None:
    provider = f"{{type: openai, base_url: '{base_url}'}}"
    text = MINIMAL.replace("provider: local", f"provider: {provider}")
    text += f"evaluate: {{against: [{{model: {{name: m, provider: {provider}}}}}]}}\n"
    with pytest.raises(SpecError) as caught:
        check_provider(load_text(tmp_path, text), CAPABILITIES)
    assert caught.value.message.count(f"write {suggestion}") == 2


@pytest.mark.parametrize(
    "base_url",
    ["https://host/v1", "https://host", "https://host/v1beta/openai", "https://host/models/v1"],
)
def test_a_base_url_of_an_api_is_accepted(tmp_path: Path, base_url: str) -> None:
    text = MINIMAL.replace("local", f"{{type: openai, base_url: '{base_url}/'}}")
    check_provider(load_text(tmp_path, text), CAPABILITIES)


def test_the_hint_about_an_invalid_override_names_the_option(tmp_path: Path) -> None:
    path = write_job(tmp_path, MINIMAL)
    with pytest.raises(UsageError) as wrong:
        load_job(path, environ={}, overrides=["foo=1", "seed=x"])
    assert wrong.value.hint == "Correct the option --set."
    path = write_job(tmp_path, MINIMAL + "foo: 1\n")
    with pytest.raises(SpecError) as caught:
        load_job(path, environ={}, overrides=["seed=x"])
    assert "job file" in caught.value.hint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a job file with its training file; another file is outside of it."""
    (tmp_path / "secret.jsonl").write_text("{}")
    inner = tmp_path / "job"
    inner.mkdir()
    (inner / "train.jsonl").write_text("{}")
    return inner


def get_path_error(job: LoadedJob) -> str:
    with pytest.raises(SpecError) as caught:
        check_paths(job)
    return caught.value.message


def test_missing_files_are_errors_at_their_places(tmp_path: Path) -> None:
    (tmp_path / "v.jsonl").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.py").write_text("")
    text = (
        f"{MINIMAL}validation_file: v.jsonl\nevaluate:\n  file: folder\n"
        "  metrics: [python: there.py:score, json_schema: {file: gone.json}]\n"
    )
    assert get_first_lines(get_path_error(load_text(tmp_path, text))) == [
        f"{tmp_path}/job.yaml:4:16: training_file: there is no such file: {tmp_path}/train.jsonl",
        f"{tmp_path}/job.yaml:7:9: file: this is a folder: {tmp_path}/folder",
        f"{tmp_path}/job.yaml:8:57: json_schema: there is no such file: {tmp_path}/gone.json",
    ]


def test_existing_and_uploaded_files_are_accepted(folder: Path) -> None:
    check_paths(load_text(folder, MINIMAL + "validation_file: file-abc\n"))


OUTSIDE = {
    "validation_file: ../secret.jsonl\n": "5:18: validation_file",
    "evaluate: {file: ../job/../secret.jsonl}\n": "5:18: file",
    "prepare: {plan: ../secret.jsonl}\n": "5:17: plan",
    "evaluate: {metrics: [python: '../check.py:score']}\n": "5:30: python",
    "evaluate: {metrics: [json_schema: {file: ../secret.jsonl}]}\n": "5:42: json_schema",
    "export: [json: {file: ../x.json}]\n": "5:23: file",
    "export: [tensorboard: {folder: ..}]\n": "5:32: folder",
    "export: [wandb: {folder: ..}]\n": "5:26: folder",
    "export: [mlflow: {tracking_uri: 'sqlite:///../x.db'}]\n": "5:33: tracking_uri",
    "export: [mlflow: {tracking_uri: ../x}]\n": "5:33: tracking_uri",
}


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_path_outside_the_folder_is_refused_with_its_place_and_the_option(
    folder: Path, text: str
) -> None:
    job = load_text(folder, MINIMAL + text)
    message = get_path_error(job)
    assert f"job.yaml:{OUTSIDE[text]}: outside the job file's folder: {folder.parent}" in message
    assert "--allow-outside" in message
    assert leads_outside(job.spec.to_json(), job.path)


@pytest.mark.parametrize("name", ["/etc/hostname", "{parent}/secret.jsonl", "/dev/null"])
def test_an_absolute_path_is_refused_whether_the_file_exists_or_not(
    folder: Path, name: str
) -> None:
    path = name.format(parent=folder.parent)
    for missing in ("", ".none"):
        text = MINIMAL.replace("train.jsonl", f"{path}{missing}")
        assert f"outside the job file's folder: {path}{missing}" in get_path_error(
            load_text(folder, text)
        )


def test_links_are_resolved(folder: Path) -> None:
    (folder / "out.jsonl").symlink_to("../secret.jsonl")
    (folder / "way").symlink_to("..")
    (folder / "in.jsonl").symlink_to("train.jsonl")
    for name in ("out.jsonl", "way/secret.jsonl"):
        message = get_path_error(load_text(folder, f"{MINIMAL}validation_file: {name}\n"))
        assert f"outside the job file's folder: {folder.parent}/secret.jsonl" in message
    check_paths(load_text(folder, f"{MINIMAL}validation_file: in.jsonl\n"))


def test_links_inside_a_data_folder_are_resolved(folder: Path) -> None:
    data = folder / "data"
    (data / "inner").mkdir(parents=True)
    (data / "a.parquet").touch()
    check_paths(load_text(folder, f"{MINIMAL}validation_file: data\n"))
    (data / "inner" / "b.parquet").symlink_to(folder.parent / "secret.jsonl")
    message = get_path_error(load_text(folder, f"{MINIMAL}validation_file: data\n"))
    assert f"validation_file: outside the job file's folder: {folder.parent}/secret" in message


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("job")
    job = load_text(tmp_path / "link", MINIMAL)
    check_paths(job)
    assert not leads_outside(job.spec.to_json(), job.path)


def test_allowed_paths_and_paths_of_overrides_are_accepted(folder: Path) -> None:
    text = f"{MINIMAL}validation_file: ../secret.jsonl\n"
    check_paths(load_text(folder, text), allow_outside=True)
    overridden = load_text(folder, MINIMAL, overrides=["validation_file=../secret.jsonl"])
    check_paths(overridden)
    from_environment = load_text(
        folder, f"{MINIMAL}validation_file: ${{DATA}}\n", environ={"DATA": "../secret.jsonl"}
    )
    assert "--allow-outside" in get_path_error(from_environment)


def test_a_remote_tracking_uri_is_not_a_path(folder: Path) -> None:
    check_paths(load_text(folder, f"{MINIMAL}export: [mlflow: {{tracking_uri: 'https://h/x'}}]\n"))
    check_paths(load_text(folder, f"{MINIMAL}export: [mlflow, json, tensorboard, wandb]\n"))


def test_the_code_that_a_run_executes_is_listed_with_its_file(folder: Path) -> None:
    text = (
        "evaluate: {metrics: [accuracy, python: {function: 'a/b.py:score', name: mine}]}\n"
        "notify: {command: [./tell.sh, 'a b'], env: [CHANNEL]}\n"
    )
    job = load_text(folder, MINIMAL + text)
    assert list_code(job.spec, job.path) == [
        ("evaluate.metrics", f"{folder}/a/b.py, function score"),
        ("notify.command", f"./tell.sh 'a b' (in {folder}, reads CHANNEL)"),
    ]
    plain = load_text(folder, MINIMAL)
    assert list_code(plain.spec, plain.path) == []


PRETRAINED = """\
name: small
provider: local
model: smollm2-135m
training_file: train.jsonl
validation_file: valid.jsonl
hyperparameters: {learning_rate: 1e-3, eval_every: 20, early_stopping: {patience: 2}}
lora: {rank: 8, targets: [q_proj, v_proj]}
"""


def load_pretrained(folder: Path, text: str = PRETRAINED) -> LoadedJob:
    return load_job(write_job(folder, text), environ={}, providers=PROVIDERS)


def test_options_of_pre_trained_models_arrive_where_they_belong(tmp_path: Path) -> None:
    job = load_pretrained(tmp_path)
    check_provider(job, get_capabilities(job.spec.provider_settings()))
    record = job.spec.hyperparameters.to_record()
    assert (record.learning_rate, record.eval_every) == (1e-3, 20)
    assert record.early_stopping == {"metric": "valid_loss", "patience": 2}
    assert job.spec.sections == {"lora": {"rank": 8, "targets": ["q_proj", "v_proj"]}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rank: 8", "rnk: 8", "job.yaml:7:8: unknown key 'rnk' under lora"),
        ("rank: 8", "rank: 0", "job.yaml:7:14: rank must be a whole number from 1 to 1024, not 0"),
        ("[q_proj, v_proj]", "all", "targets must be \"all-linear\" or a list of names, not 'all'"),
        ("patience: 2", "patience: 0", "job.yaml:6:72: early_stopping must be a mapping of metric"),
        ("{learn", "{learning_rate_multiplier: 2, learn", "replaces learning_rate_multiplier"),
        ("validation_file: valid.jsonl\n", "", "job.yaml:5:40: eval_every needs a validation_file"),
        ("provider: local", "provider: openai", "only the provider local reads lora"),
    ],
)
def test_a_mistake_in_an_option_has_its_line_and_column(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        load_pretrained(tmp_path, PRETRAINED.replace(old, new))
    assert message in caught.value.message


def test_options_of_pre_trained_models_are_refused_for_random_weights(tmp_path: Path) -> None:
    for model in ("ada", "ft:ada:local::abc"):
        job = load_pretrained(tmp_path, PRETRAINED.replace("smollm2-135m", f'"{model}"'))
        with pytest.raises(SpecError) as caught:
            check_provider(job, get_capabilities(job.spec.provider_settings()))
        for key in ("learning_rate", "eval_every", "early_stopping", "lora"):
            reason = f"{key} is for pre-trained models, and {model} starts from random weights"
            assert reason in caught.value.message
