"""A stand-in for the server of `kiln.py`, behind a mock transport."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2

KILN_KEY = "kiln-key-0123456789"


@dataclass
class KilnServer:
    """Answers requests as kiln.example would; each look moves a training on by one phase."""

    phases: tuple[str, ...] = ("WAITING", "FIRING", "COOLING", "DONE")
    requests: list[str] = field(default_factory=list)
    datasets: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    trainings: list[dict[str, Any]] = field(default_factory=list)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)  # by model
    states: tuple[str, ...] = ("warming", "warming", "up")  # of a deployment, look by look
    loses_deployments: int = 0  # so many of the next are made without an answer
    is_reachable: bool = True
    keeps_deployments: bool = False  # a deletion is accepted, and nothing happens
    models: list[str] = field(default_factory=list)

    def connect(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.handle))

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        if not self.is_reachable:
            raise httpx2.ConnectError("no network", request=request)
        path = request.url.path.removeprefix("/v2")
        self.requests.append(f"{request.method} {path}")
        if request.headers.get("x-kiln-key") != KILN_KEY:
            return httpx2.Response(401, json={"fault": "who are you?"})
        for pattern, method in self._routes():
            if match := re.fullmatch(pattern, f"{request.method} {path}"):
                answer = method(request, *match.groups())
                return answer if answer is not None else httpx2.Response(404, json={"fault": path})
        return httpx2.Response(404, json={"fault": path})

    def _routes(self) -> list[tuple[str, Any]]:
        return [
            (r"POST /datasets", self._store),
            (r"GET /datasets", self._list_datasets),
            (r"(GET|DELETE) /datasets/(\d+)(/raw)?", self._use_dataset),
            (r"(POST|GET) /trainings", self._use_trainings),
            (r"(GET|POST) /trainings/(\d+)(?:/stop)?", self._use_training),
            (r"(GET|DELETE) /models/?(.*)", self._use_models),
            (r"GET /deployments", self._list_deployments),
            (r"(POST|GET|DELETE) /deployments/([^/]+)", self._deploy),
            (r"POST /deployments/([^/]+)/generate", self._generate),
        ]

    def _store(self, request: httpx2.Request) -> httpx2.Response:
        number = len(self.datasets) + 1
        self.datasets[number] = (request.url.params["label"], request.read())
        return httpx2.Response(201, json={"dataset": self._show(number)})

    def _show(self, number: int) -> dict[str, Any]:
        label, content = self.datasets[number]
        uri = f"kiln://datasets/{number}"
        return {"uri": uri, "label": label, "size": len(content), "at_ms": number * 1000}

    def _list_datasets(self, request: httpx2.Request) -> httpx2.Response:
        after = int(request.url.params["cursor"] or 0)
        numbers = [number for number in self.datasets if number > after]
        following = str(numbers[0]) if len(numbers) > 1 else None
        shown = [self._show(number) for number in numbers[:1]]  # pages of one
        return httpx2.Response(200, json={"datasets": shown, "next": following})

    def _use_dataset(
        self, _request: httpx2.Request, verb: str, number: str, raw: str | None
    ) -> httpx2.Response | None:
        if int(number) not in self.datasets:
            return None
        if verb == "DELETE":
            del self.datasets[int(number)]
            return httpx2.Response(204)
        if raw:
            return httpx2.Response(200, content=self.datasets[int(number)][1])
        return httpx2.Response(200, json={"dataset": self._show(int(number))})

    def _use_trainings(self, request: httpx2.Request, verb: str) -> httpx2.Response:
        if verb == "GET":
            return httpx2.Response(200, json={"trainings": self.trainings[::-1]})
        number = len(self.trainings) + 1
        training = {"number": number, "at_ms": number, "phase": self.phases[0]}
        self.trainings.append(training | json.loads(request.read()))
        return httpx2.Response(202, json={"training": self.trainings[-1]})

    def _use_training(
        self, _request: httpx2.Request, verb: str, number: str
    ) -> httpx2.Response | None:
        if not 0 < int(number) <= len(self.trainings):
            return None
        training = self.trainings[int(number) - 1]
        place = self.phases.index(training["phase"]) if training["phase"] in self.phases else -1
        if verb == "POST" and training["phase"] == "DONE":
            return httpx2.Response(409, json={"fault": f"{number} is done"})
        if verb == "POST":
            training["phase"] = "STOPPED"
        elif 0 <= place < len(self.phases) - 1:
            training["phase"] = self.phases[place + 1]
        if training["phase"] == "DONE" and "model" not in training:
            training["model"] = f"{training['base']}@{number}"
            self.models.append(training["model"])
        return httpx2.Response(200, json={"training": training})

    def _use_models(self, _request: httpx2.Request, verb: str, name: str) -> httpx2.Response | None:
        if verb == "GET":
            shown = [{"name": model} for model in ["clay", *self.models]]
            return httpx2.Response(200, json={"models": shown})
        if name not in self.models:
            return None
        self.models.remove(name)
        return httpx2.Response(204)

    def _list_deployments(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"deployments": list(self.deployments.values())})

    def _deploy(self, request: httpx2.Request, verb: str, model: str) -> httpx2.Response | None:
        if verb == "POST":
            if model not in self.models or model in self.deployments:
                return httpx2.Response(409, json={"fault": f"{model} cannot be deployed now"})
            state = {"model": model, "cents_an_hour": 250, "state": self.states[0], "looks": 0}
            self.deployments[model] = state | json.loads(request.read())
            if self.loses_deployments:
                self.loses_deployments -= 1
                raise httpx2.ReadError("the connection was lost", request=request)
        deployment = self.deployments.get(model)
        if deployment is None:
            return None
        if verb == "DELETE":
            if not self.keeps_deployments:
                del self.deployments[model]
            return httpx2.Response(202)
        if verb == "GET":
            deployment["looks"] = min(deployment["looks"] + 1, len(self.states) - 1)
            deployment["state"] = self.states[deployment["looks"]]
            if deployment["state"] == "cracked":
                deployment["reason"] = "no free kiln"
        return httpx2.Response(200, json=deployment)

    def _generate(self, request: httpx2.Request, model: str) -> httpx2.Response:
        if self.deployments.get(model, {}).get("state") != "up":
            return httpx2.Response(409, json={"fault": f"{model} is not deployed"})
        prompts = json.loads(request.read())["prompts"]
        return httpx2.Response(200, json={"outputs": [{"text": " 2"} for _ in prompts]})
