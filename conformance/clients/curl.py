"""curl: the protocol with nothing in between."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.operation import Client, NotHere, Operation, Scene, ensure
from ftops.records import EngineAddress


def _install(cache: Path) -> Path:
    found = shutil.which("curl")
    if found is None:
        raise NotHere("there is no curl")
    return Path(found)


def _environment(engine: EngineAddress) -> Mapping[str, str]:
    return {}


def _ask(scene: Scene, path: str, *options: str) -> Any:
    """What the engine answers to curl, as JSON."""
    key = f"Authorization: Bearer {scene.engine.token}"
    url = f"{scene.engine.base_url}{path}"
    return json.loads(scene.run(scene.tool, "-sS", "-H", key, *options, url).expect().out)


def _list_models(scene: Scene) -> None:
    names = [model["id"] for model in _ask(scene, "/models")["data"]]
    ensure("ada" in names, f"no ada among {names}")


CLIENT = Client(
    name="curl",
    title="curl",
    install=_install,
    environment=_environment,
    operations=(Operation("GET /v1/models", _list_models),),
)
