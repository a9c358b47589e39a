"""One small model for all tests that only ask it."""

from pathlib import Path

import pytest

from ftops.engine.tiny.generation import TinyModel
from ftops.engine.tiny.trainer import TinyTrainer
from tests.engine.tiny.jobs import ANSWERS, make_request, train


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ada`, trained until it knows ANSWERS by heart."""
    folder = tmp_path_factory.mktemp("answers")
    train(make_request(ANSWERS), folder)
    return folder / "model"


@pytest.fixture
def model(model_folder: Path) -> TinyModel:
    return TinyTrainer().load(model_folder)
