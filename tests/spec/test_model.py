"""The canonical form of a job."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ftops.spec.model import JobSpec
from tests.spec.job_files import MINIMAL, load_text

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=100)
WORDS = st.text("abcdefgh-é", min_size=1, max_size=12).filter(lambda text: text[0] not in "-.")


def canonical(folder: Path, text: str) -> str:
    return json.dumps(load_text(folder, text).spec.canonical())


def test_order_comments_and_explicit_defaults_do_not_change_the_canonical_form(
    tmp_path: Path,
) -> None:
    other = """\
# the same
training_file: train.jsonl
model: "ada"
provider: {type: local}
prepare: {stop: null, format: auto}
hyperparameters: {learning_rate_multiplier: auto, n_epochs: auto}
name: news-topics
"""
    assert canonical(tmp_path, MINIMAL) == canonical(tmp_path, other)


def test_evaluation_limits_and_api_key_env_do_not_change_the_canonical_form(tmp_path: Path) -> None:
    plain = MINIMAL.replace("local", "{type: openai, base_url: 'https://host/v1'}")
    other = MINIMAL.replace(
        "local", "{api_key_env: MY_KEY, base_url: 'https://host/v1/', type: openai}"
    )
    more = "evaluate: {max_rows: 3}\nlimits: {max_wait: 3h}\n"
    assert canonical(tmp_path, plain) == canonical(tmp_path, other + more)


def test_every_other_field_changes_the_canonical_form(tmp_path: Path) -> None:
    texts = {
        MINIMAL,
        MINIMAL.replace("ada", "babbage"),
        MINIMAL.replace("local", "openai"),
        MINIMAL.replace("local", "{type: local, project: p}"),
        *(
            f"{MINIMAL}{line}\n"
            for line in (
                "suffix: a", "seed: 0", "validation_file: v", "metadata: {a: b}",
                "hyperparameters: {n_epochs: 1}", "prepare: {stop: a}",
            )
        ),
    }  # fmt: skip
    assert len({canonical(tmp_path, text) for text in texts}) == len(texts)


def test_an_integer_and_the_equal_float_have_the_same_canonical_form(tmp_path: Path) -> None:
    line = "hyperparameters: {learning_rate_multiplier: "
    assert canonical(tmp_path, f"{MINIMAL}{line}2}}\n") == canonical(
        tmp_path, f"{MINIMAL}{line}2.0}}\n"
    )


JOBS = st.fixed_dictionaries(
    {"name": WORDS, "model": WORDS, "training_file": WORDS}
    | {"provider": st.sampled_from(["local", "openai"])},
    optional={
        "suffix": WORDS,
        "seed": st.integers(0, 2**31 - 1) | st.none(),
        "metadata": st.dictionaries(WORDS, st.text(max_size=9), max_size=4),
        "hyperparameters": st.fixed_dictionaries(
            {},
            optional={
                "n_epochs": st.just("auto") | st.integers(1, 1000),
                "learning_rate_multiplier": st.floats(0.001, 100) | st.integers(1, 100),
                "classification_betas": st.lists(st.floats(0.1, 9), min_size=1, max_size=3),
            },
        ),
        "limits": st.fixed_dictionaries({}, optional={"max_wait": st.just("3h")}),
    },
)


@PROPERTY
@given(job=JOBS)
def test_a_job_round_trips_through_json_and_its_canonical_form(job: dict[str, Any]) -> None:
    spec = JobSpec.from_json(job)
    assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    canonical_spec = spec.canonical()
    assert json.dumps(JobSpec.from_json(canonical_spec).canonical()) == json.dumps(canonical_spec)
    shuffled = JobSpec.from_json(dict(reversed(list(job.items()))))
    assert json.dumps(shuffled.canonical()) == json.dumps(canonical_spec)
