"""`--fetch`: the vocabularies that counting wants and that are not on this machine."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Annotated

import typer

from ftops.cli.environment import get_home, read_environ
from ftops.cli.factory import open_request_log
from ftops.data.tokens.vocabulary import (
    find_vocabulary,
    find_vocabulary_file,
    list_vocabulary_folders,
    store_vocabulary,
)
from ftops.errors import FtopsError
from ftops.http.client import download

Fetch = Annotated[
    bool, typer.Option("--fetch", help="Fetch the model's vocabulary once, where it is missing.")
]

_MAX_BYTES = 32 << 20  # far more than any vocabulary has


def fetch_missing(names: Iterable[str], info: Callable[[str], None]) -> None:
    """Fetch what is missing of the vocabularies that are known; what fails is said, no error."""
    if find_spec("tiktoken") is None:
        info("note: exact counts need tiktoken: pip install 'ftops[tokens]'")
        return
    home = get_home()
    folders = list_vocabulary_folders(read_environ(), home)
    for name in names:
        file = find_vocabulary_file(name)
        if file is None or find_vocabulary(name, folders) is not None:
            continue
        try:
            content = download(file.url, open_request_log(), max_bytes=_MAX_BYTES)
        except FtopsError as error:
            info(f"note: {error.message}")
            continue
        if not store_vocabulary(name, content, folders[-1]):
            info(f"note: {file.url} is not the file that it should be; it was not kept")
