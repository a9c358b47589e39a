"""How servers that speak OpenAI's fine-tuning API differ: `OpenAIQuirks`, a line for each server.

The functions in a line get an `OpenAIServer`: it sends the requests that OpenAI's API lacks.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
import openai
from pydantic import BaseModel

from ftops.capabilities import DeploymentRule
from ftops.files import open_atomic
from ftops.http.response import JsonObject, parse_objects, read_pages
from ftops.providers.address import OPENAI, ServerAddress
from ftops.providers.openai_client import OpenAIClient
from ftops.providers.provider import ProviderContext
from ftops.records import Deployment, DeploymentRequest, Job, Json, ProviderSettings

PAGE = 100


@dataclass(frozen=True, slots=True)
class OpenAIServer:
    """A server of OpenAI's API; `is_own` if its address is the provider's own."""

    api: OpenAIClient
    settings: ProviderSettings
    base_url: str = ""
    is_own: bool = False
    context: ProviderContext | None = field(default=None, repr=False)

    def fetch(
        self, action: str, method: str, url: str, body: Mapping[str, Json] | None = None
    ) -> JsonObject:
        """The JSON object in the response; `url` is a path of the API or a whole address."""
        return self.api.fetch(action, lambda sdk: _request(sdk, method, url, body))

    def fetch_list(self, action: str, url: str) -> list[JsonObject]:
        """The objects of a list that is not in pages."""
        response = self.api.send(action, lambda sdk: _request(sdk, "GET", url))
        return parse_objects(response.content, action)

    def send_once(self, action: str, url: str, body: Mapping[str, Json]) -> JsonObject:
        """Post `body` with exactly one request."""
        response = self.api.send_once(action, lambda sdk: _request(sdk, "POST", url, body))
        return self.api.parse(response, action)

    def delete(self, action: str, url: str) -> None:
        self.api.delete(action, lambda sdk: _request(sdk, "DELETE", url))

    def list_checkpoints(self, job_id: str) -> list[JsonObject]:
        """The checkpoints of the job, by step."""
        pages = read_pages(
            lambda after: self.api.fetch(
                f"list the checkpoints of {job_id}",
                lambda sdk: sdk.fine_tuning.jobs.checkpoints.with_raw_response.list(
                    job_id, limit=PAGE, after=after or openai.omit
                ),
            )
        )
        checkpoints = [fields for page in pages for fields in page]
        return sorted(checkpoints, key=lambda fields: fields.find_int("step_number") or 0)

    def download(self, action: str, url: str, folder: Path, name: str) -> Path:
        """Write the content at `url` to the file `name` of the folder, replaced atomically."""
        path = folder / PurePosixPath(name).name
        stream = self.api.send(
            action,
            lambda sdk: sdk.get(url, cast_to=object, stream=True, stream_cls=openai.Stream[object]),
        )
        with stream, open_atomic(path) as file:
            for piece in self.api.read_stream(action, stream.response.iter_bytes()):
                file.write(piece)
        return path


def _request(
    sdk: openai.OpenAI, method: str, url: str, body: Mapping[str, Json] | None = None
) -> httpx2.Response:
    send: Mapping[str, Callable[..., Any]] = {
        "GET": sdk.get,
        "POST": sdk.post,
        "DELETE": sdk.delete,
    }
    content = {} if body is None else {"body": dict(body)}
    response: httpx2.Response = send[method](url, cast_to=httpx2.Response, **content)
    return response


class ModelNames:
    """The names of models at the server: here, those of the job file."""

    def get_trainable_id(self, model: str) -> str:
        """The id of a model to train; NotFound or Rejected if it cannot be trained."""
        return model

    def get_id(self, model: str) -> str:
        """The id of a model at the server, whether it can be trained or not."""
        return model

    def get_name(self, model_id: str) -> str:
        """The name for the user of a model of the server."""
        return model_id


class Deployments(ABC):
    """The deployments of a server, as in `Provider`."""

    def is_served(self, _model: str, _sections: Mapping[str, Mapping[str, Json]]) -> bool:
        return True

    def check_deployment(self, _sections: Mapping[str, Mapping[str, Json]]) -> None:
        """Raise ProviderError if settings are missing."""
        return

    @abstractmethod
    def create_deployment(self, request: DeploymentRequest) -> Deployment: ...

    @abstractmethod
    def find_deployment(self, request: DeploymentRequest) -> Deployment | None: ...

    @abstractmethod
    def get_deployment(self, deployment_id: str) -> Deployment: ...

    @abstractmethod
    def list_deployments(self) -> Iterator[Deployment]: ...

    @abstractmethod
    def delete_deployment(self, deployment_id: str) -> None: ...

    def estimate_hourly_cost(self, _request: DeploymentRequest) -> float | None:
        """In US dollars; None if it is unknown."""
        return None


def plain_names(_server: OpenAIServer) -> ModelNames:
    """Models have the same name in a job file and at the server."""
    return ModelNames()


@dataclass(frozen=True, slots=True)
class OpenAIQuirks:
    """What differs from OpenAI's server; the defaults are OpenAI's.

    `options` is the section of the job file with the name `section`: its `hyperparameters` are sent
    with the others, its `body_fields` as the named fields of the request that creates a job.
    """

    address: ServerAddress = OPENAI
    section: str = ""
    options: type[BaseModel] | None = None
    hyperparameters: frozenset[str] = frozenset()
    body_fields: Mapping[str, str] = field(default_factory=dict)
    model_names: Callable[[OpenAIServer], ModelNames] = plain_names
    takes_one_rate: bool = False  # no multiplier, not even "auto", beside a learning rate
    orders_events: bool = True  # events come by time; otherwise all are read and sorted
    names_models: bool = True  # a succeeded job names its model; otherwise its last checkpoint does
    inference_url: str = ""  # where its own models answer, if not at `address`
    price_route: str = ""  # takes the request of a job, and answers with its price
    read_metrics: Callable[[OpenAIServer, Job], bytes | None] | None = None
    download_weights: Callable[[OpenAIServer, Job, Path], list[Path]] | None = None
    deployments: Callable[[OpenAIServer], Deployments] | None = None
    # how models are deployed by the value of a field of the section, if not as usual
    deployment_rules: Mapping[tuple[str, str], DeploymentRule] = field(default_factory=dict)


def render_metrics(rows: Sequence[Mapping[str, Json]]) -> bytes | None:
    """A CSV table with a row for each step, like OpenAI's results file; None without rows.

    Values that are no finite numbers are left empty.
    """
    columns = list(dict.fromkeys(["step", *(name for row in rows for name in row)]))
    lines = [",".join(columns)]
    lines += [",".join(_render_number(row.get(name)) for name in columns) for row in rows]
    return "\n".join(lines).encode() + b"\n" if rows else None


def _render_number(value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return json.dumps(value) if math.isfinite(value) else ""
