"""One run of a job file by the real `ftops`, through the proxy."""

import json
from pathlib import Path

from ftops.engine.settings import EngineFolder
from tests.crash.processes import ProcessHarness
from tests.crash.scenarios import Kill, ProviderRecords, Scenario
from tests.faults.proxy import FaultyProxy

MAX_COMMANDS = 4  # the last of them must succeed
_KEY = "PROOF_KEY"


class ProxiedScenario(Scenario):
    """Uses the engine as a server with an address and a key."""

    program = "tests.faults.command"

    def __init__(
        self, harness: ProcessHarness, engine: EngineFolder, folder: Path, proxy: FaultyProxy
    ) -> None:
        self._proxy = proxy
        super().__init__(harness, engine, folder)

    def run_until_success(self) -> ProviderRecords:
        """Repeat the command until it succeeds; return the records.

        A failed run asks for `--retry`.
        """
        flags: list[str] = []
        for _ in range(MAX_COMMANDS):
            if self.run_command(Kill(), *flags) == 0:
                return self.read()
            lines = self.log.read_text().splitlines()
            flags = ["--retry"] if any("--retry" in line for line in lines[-3:]) else []
        raise AssertionError(f"no command succeeds: {self._proxy.injected}\n{self.log.read_text()}")

    def choose_environment(self) -> dict[str, str]:
        key = json.loads(self.address.read_text())["token"]
        return {**super().choose_environment(), _KEY: key}

    def choose_arguments(self, kill: Kill, command_line: list[str]) -> list[str]:
        return [str(self.clock), *command_line]

    @property
    def address(self) -> Path:
        return self.folder / "address.json"

    @property
    def clock(self) -> Path:
        """The file with the clock that the proxy uses, too."""
        return self.folder.with_suffix(".clock")

    @property
    def job(self) -> dict[str, object]:
        provider = {"type": "openai", "base_url": self._proxy.base_url, "api_key_env": _KEY}
        return {**super().job, "provider": provider}
