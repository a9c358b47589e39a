"""Sends requests to Together's API: version 1 for training, 2 for models and endpoints."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx2

from ftops.clock import Clock
from ftops.errors import InvalidResponse, Rejected
from ftops.http.api_client import ApiClient, Endpoint
from ftops.http.client import make_timeout
from ftops.http.response import MAX_PAGES, JsonObject
from ftops.http.retry import RetryPolicy

_HINTS = {
    "model_not_available": "`ftops deploy` deploys a trained model; it answers nothing before that."
}
_CREATE_TIMEOUT_S = 120.0


class TogetherClient(ApiClient[httpx2.Client]):
    """An `ApiClient` for paths such as `/v1/files`; every request names its key.

    `root` is the address without the version. `project` is the id of the project that owns models
    and endpoints; None for that of the key.
    """

    @staticmethod
    def get_hint(code: str | None, host: str) -> str:  # noqa: ARG004
        return _HINTS.get(code or "", "")

    def __init__(
        self,
        endpoint: Endpoint[httpx2.Client],
        *,
        root: str,
        project: str | None,
        clock: Clock,
        retries: RetryPolicy,
    ) -> None:
        super().__init__(endpoint, clock=clock, retries=retries)
        self.root = root
        self._project = project

    @property
    def project(self) -> str:
        """The id of the project in the settings, or that of the key."""
        if self._project is None:
            caller = self.get("look up the project of the key", "/v3/whoami")
            self._project = caller.get_object("project").find_text("id")
        if self._project is None:
            raise Rejected(
                "the key belongs to no project, and models and endpoints do; nothing was sent",
                hint="Write `provider: {type: together, project: …}` in the job file.",
            )
        return self._project

    def prepare(
        self, method: str, path: str, **options: Any
    ) -> Callable[[httpx2.Client], httpx2.Response]:
        """A request, as `send` and `send_once` take it."""
        headers = {"Authorization": f"Bearer {self.secret}", **options.pop("headers", {})}
        return lambda client: client.request(method, self.root + path, headers=headers, **options)

    def get(self, action: str, path: str, **options: Any) -> JsonObject:
        """The JSON object at a path."""
        return self.fetch(action, self.prepare("GET", path, **options))

    def post(self, action: str, path: str, **options: Any) -> JsonObject:
        """The response to a request that is safe to repeat."""
        return self.fetch(action, self.prepare("POST", path, **options))

    def post_once(self, action: str, path: str, body: object) -> JsonObject:
        """The response to a request that is sent exactly once."""
        timeout = make_timeout(_CREATE_TIMEOUT_S)
        send = self.prepare("POST", path, json=body, timeout=timeout)
        return self.parse(self.send_once(action, send), action)

    def list_pages(self, action: str, path: str, **params: str) -> Iterator[JsonObject]:
        """The objects of a list of version 2, page by page."""
        for _ in range(MAX_PAGES):
            page = self.get(action, path, params=params)
            yield from page.get_objects("data")
            cursor = page.find_text("next_cursor")
            if cursor is None or cursor == params.get("after"):
                return
            params["after"] = cursor

    def list_entries(self, action: str, path: str) -> list[JsonObject]:
        """The objects of a list of version 1, which is an array or in `data`."""
        content = self.send(action, self.prepare("GET", path)).content
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, list):
            values = {"data": values}
        if not isinstance(values, dict):
            raise InvalidResponse(f"{action}: malformed response: it is no list")
        return JsonObject(values, action).get_objects("data")


def get_root(base_url: str) -> str:
    """The address without the version, which users write or leave out."""
    return base_url.removesuffix("/v1")


def quote_id(text: str) -> str:
    """The id as one segment of a path."""
    return quote(text, safe="")


def get_last_part(name: str) -> str:
    """The name of a model or endpoint without the account or project before it."""
    return name.rpartition("/")[2]
