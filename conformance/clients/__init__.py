"""All clients, in the order of the table; another one is a module and a line here."""

from conformance.clients import curl, legacy, legacy_python
from conformance.operation import Client

CLIENTS: tuple[Client, ...] = (legacy.CLIENT, legacy_python.CLIENT, curl.CLIENT)
