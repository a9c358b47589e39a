"""Who is to be trained with the data, and for what: what `--for` and `--task` mean."""

from ftops.cli.environment import get_home, read_environ
from ftops.cli.factory import find_example_limit, open_provider
from ftops.data.checks.check import TASKS, DataTarget
from ftops.data.profile import TokenLimit
from ftops.data.tokens.vocabulary import list_vocabulary_folders
from ftops.errors import UsageError
from ftops.providers.model_catalog import get_vocabulary_name
from ftops.providers.registry import PROVIDERS, get_capabilities
from ftops.records import ProviderSettings


def parse_target(target: str | None) -> DataTarget:
    """What `--for` means: a provider, a model, or both with a slash between them."""
    if target is None:
        return DataTarget()
    provider, _, model = target.partition("/")
    if provider not in PROVIDERS:
        if "/" in target:
            raise UsageError(
                f"--for {target}: unknown provider {provider!r}",
                hint=f"There are {', '.join(sorted(PROVIDERS))}.",
            )
        provider, model = "openai", target
    settings = ProviderSettings(type=provider)
    capabilities = get_capabilities(settings)
    row_format = None
    if model and not capabilities.any_row_format:
        with open_provider(settings) as built:
            row_format = built.row_format(model)
    return DataTarget(
        capabilities.min_rows,
        row_format,
        model,
        provider,
        make_gauge(provider, model),
        capabilities.auto_epochs,
        capabilities.auto_batch,
        capabilities.tools,
    )


def make_gauge(provider: str, model: str) -> TokenLimit:
    """What rows for that model are measured by; vocabularies are taken from this machine alone."""
    settings = ProviderSettings(type=provider)
    limit = find_example_limit(settings, model)
    folders = list_vocabulary_folders(read_environ(), get_home())
    return TokenLimit(
        limit.tokens if limit else None,
        get_vocabulary_name(get_capabilities(settings), model),
        tuple(map(str, folders)),
    )


def find_task(task: str | None) -> str | None:
    """What `--task` means; UsageError when there is no such task."""
    if task is not None and task not in TASKS:
        raise UsageError(f"--task {task}: there is no such task", hint=f"{', '.join(TASKS)}.")
    return task
