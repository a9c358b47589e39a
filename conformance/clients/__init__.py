"""All clients, in the order of the table; another one is a module and a line here."""

from conformance.clients import curl, current, legacy, legacy_python, providers
from conformance.operation import Client

CLIENTS: tuple[Client, ...] = (
    current.PYTHON_3,
    current.PYTHON_2,
    current.NODE,
    legacy.CLIENT,
    legacy_python.CLIENT,
    curl.CLIENT,
    current.PYTHON_3_LORA,
    legacy_python.LORA,
    *providers.PROVIDERS,
)
