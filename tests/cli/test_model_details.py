"""`ftops models show` for a model whose requests are unlike OpenAI's."""

import io
from datetime import date
from pathlib import Path

from rich.console import Console

from ftops.cli.model_details import ModelDetails, render_details
from ftops.records import ProviderSettings


def test_a_model_with_other_requests_has_a_command_instead_of_code(tmp_path: Path) -> None:
    details = ModelDetails(
        name="projects/1/locations/us-central1/endpoints/2",
        provider=ProviderSettings("vertex"),
        base="gemini-3.5-flash",
        lineage=(),
        headline=None,
        cost=None,
        ends=None,
        checkpoints=(),
        usage=None,
        home=tmp_path,
    )
    stream = io.StringIO()
    for part in render_details(details, date(2026, 11, 22)):
        Console(file=stream, width=200).print(part)
    assert (
        stream.getvalue()
        .rstrip()
        .endswith(
            "ftops complete --model projects/1/locations/us-central1/endpoints/2 --prompt TEXT"
            " --provider vertex"
        )
    )
    assert "openai" not in stream.getvalue().lower()
    assert details.to_json()["code"] == {}
