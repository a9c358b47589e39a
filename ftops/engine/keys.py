"""Who has which key: the engine's own token for its user, and keys that were made for others.

A key's name owns what is made with it: files, uploads, jobs, models. It outlives the key, so that a
lost key is replaced by deleting it and making another of the same name; one called `local` sees
what the engine's own user sees, from other machines too.

Keys are kept as plain SHA-256 hashes: they are 256 bits of chance, so that there is nothing a
dictionary could hold, and a hash that is slow on purpose would only slow down every request.
"""

import hashlib
import hmac
import logging
import re
import secrets
from dataclasses import dataclass

from ftops.engine.ids import LOCAL_OWNER
from ftops.engine.store import KeyRow, Store
from ftops.errors import EngineError, FtopsError

OWNER = "ftops.owner"  # where the door leaves it in the request's scope
_PREFIX = "sk-ftops-"
_HINT_LENGTH = len(_PREFIX) + 6
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")  # it stands in the names of models
_NOTE_EVERY_S = 60  # a key's last use is told to the minute
_log = logging.getLogger(__name__)


def create_key(name: str, store: Store) -> str:
    """A fresh key for `name`; it can never be read again.

    Raises EngineError when the name cannot be one, or has a key already.
    """
    if not _NAME.fullmatch(name):
        raise EngineError(
            f"{name!r} cannot be the name of a key",
            hint="Names have up to 32 lower-case letters, digits and hyphens between them.",
        )
    key = _PREFIX + secrets.token_hex(32)
    if not store.keys.add(KeyRow(name, _hash(key), key[:_HINT_LENGTH], store.now())):
        raise EngineError(
            f"there is a key called {name!r} already",
            hint=f"`ftops engine keys delete {name}` removes it; what it made stays.",
        )
    return key


def delete_key(name: str, store: Store) -> None:
    """Let the key open nothing any more; EngineError when there is none of that name."""
    if not store.keys.delete(name):
        raise EngineError(
            f"there is no key called {name!r}", hint="`ftops engine keys list` shows them."
        )


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key came with a request; `key` None: it was the engine's own token."""

    owner: str
    key: str | None = None


class KeyAuthenticator:
    """The keys that open an engine. They are read for every request, so a change counts at once."""

    def __init__(self, token: str, store: Store) -> None:
        self._token = _hash(token)
        self._store = store
        self._noted: dict[str, int] = {}

    def find_holder(self, secret: str, *, from_here: bool) -> KeyHolder | None:
        """Who has that key; the engine's own token counts only `from_here`, this machine.

        All keys are compared, each in constant time, so that the answer takes as long whichever of
        them it is.
        """
        given = _hash(secret)
        found = None
        for name, known in self._store.keys.list_hashes():
            if hmac.compare_digest(given, known):
                found = KeyHolder(name, name)
        if hmac.compare_digest(given, self._token) and from_here:
            found = KeyHolder(LOCAL_OWNER)
        return found

    def is_record_due(self, caller: KeyHolder) -> bool:
        """Whether the key's use should be written down now: once a minute is enough."""
        if caller.key is None:
            return False
        return self._store.now() - self._noted.get(caller.key, 0) >= _NOTE_EVERY_S

    def record_use(self, caller: KeyHolder) -> None:
        """Write down that the key was used; may wait for the disk."""
        if caller.key is None:
            return
        now = self._store.now()
        self._noted[caller.key] = now
        try:
            self._store.keys.set_used(caller.key, now)
        except FtopsError as error:  # a full disk is no reason to refuse whoever has a key
            _log.warning("the use of the key %s is not written down: %s", caller.key, error)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
