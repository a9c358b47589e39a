"""The estimate of a training before it starts, as the process of the estimate prints it."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from ftops.engine.estimate import main
from ftops.records import EXIT_REFUSED
from tests.engine.lora.small_model import add_model
from tests.engine.test_estimate import write


def test_a_training_that_would_be_refused_has_its_reason_and_hint(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    base = add_model(tmp_path / "base_models")
    path = write(tmp_path, *({"prompt": "a" * n, "completion": "b"} for n in (3, 90)))
    command = [str(path), "--model", base.name, "--folder", str(tmp_path)]
    command += ["--hyperparameters", '{"lora": {"max_length": 50}}']
    assert main(command) == EXIT_REFUSED
    refusal = json.loads(capsysbinary.readouterr().out)
    assert refusal["message"] == "training rows with more than 50 tokens: 2 (92 tokens)"
    assert "lora.max_length" in refusal["hint"]


def test_two_steps_are_measured_and_calibrate_later_estimates(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    base = add_model(tmp_path / "base_models")
    path = write(tmp_path, *({"prompt": "a" * n, "completion": "b"} for n in (3, 90)))
    command = [str(path), "--model", base.name, "--folder", str(tmp_path)]
    documents = []
    for options in ([], ["--measure"], []):
        assert main([*command, *options]) == 0
        documents.append(json.loads(capsysbinary.readouterr().out))
    unknown, measured, calibrated = documents
    assert "tokens_per_second" not in unknown
    assert unknown["memory_bytes"] > 10**8
    assert measured["step_s"] > 0
    assert calibrated["tokens_per_second"] == measured["tokens_per_second"]
