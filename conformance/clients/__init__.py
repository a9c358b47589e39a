"""All clients, in the order of the table; another one is a module and a line here."""

from conformance.clients import curl
from conformance.operation import Client

CLIENTS: tuple[Client, ...] = (curl.CLIENT,)
