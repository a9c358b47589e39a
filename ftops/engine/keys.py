"""API keys: the engine's own token for its user, and named keys for others.

The name of a key is the owner of all objects created with it: files, uploads, jobs, models. It
outlives the key: a lost key is replaced by deleting it and creating another one of the same name. A
key named `local` has the same owner as the engine's token, and is also valid from other machines.

Keys are stored as plain SHA-256 hashes: they are 256 random bits, which no dictionary contains, and
a slow hash would only slow down every request.
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

OWNER = "ftops.owner"  # the key of the owner in the ASGI scope
_PREFIX = "sk-ftops-"
_HINT_LENGTH = len(_PREFIX) + 6
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")  # a part of model names
_RECORD_INTERVAL_S = 60  # of a key's last use
_log = logging.getLogger(__name__)


def create_key(name: str, store: Store) -> str:
    """Create the key of `name`; only its hash is stored.

    Raises EngineError when the name is invalid or has a key.
    """
    if not _NAME.fullmatch(name):
        raise EngineError(
            f"{name!r} is not a valid name of a key",
            hint="Use up to 32 lower-case letters, digits and, inside, hyphens.",
        )
    key = _PREFIX + secrets.token_hex(32)
    if not store.keys.add(KeyRow(name, _hash(key), key[:_HINT_LENGTH], store.now())):
        raise EngineError(
            f"there is already a key {name!r}",
            hint=f"`ftops engine keys delete {name}` deletes it; what it owns stays.",
        )
    return key


def delete_key(name: str, store: Store) -> None:
    """Revoke the key; EngineError when there is none of that name."""
    if not store.keys.delete(name):
        raise EngineError(f"there is no key {name!r}", hint="`ftops engine keys list` lists them.")


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The owner of a request's key; `key` None: the engine's own token."""

    owner: str
    key: str | None = None


class KeyAuthenticator:
    """Authenticates requests. Keys are read for each of them, so changes apply at once."""

    def __init__(self, token: str, store: Store) -> None:
        self._token = _hash(token)
        self._store = store
        self._recorded: dict[str, int] = {}

    def find_holder(self, secret: str, *, is_local: bool) -> KeyHolder | None:
        """The owner of that key; the engine's own token is valid from this machine only.

        All keys are compared, each in constant time, so that the time shows nothing about them.
        """
        digest = _hash(secret)
        holder = None
        for name, known in self._store.keys.list_hashes():
            if hmac.compare_digest(digest, known):
                holder = KeyHolder(name, name)
        if hmac.compare_digest(digest, self._token) and is_local:
            holder = KeyHolder(LOCAL_OWNER)
        return holder

    def is_record_due(self, caller: KeyHolder) -> bool:
        """Whether to record the use of the key: once a minute is enough."""
        if caller.key is None:
            return False
        return self._store.now() - self._recorded.get(caller.key, 0) >= _RECORD_INTERVAL_S

    def record_use(self, caller: KeyHolder) -> None:
        """Record the use of the key; may wait for the disk."""
        if caller.key is None:
            return
        now = self._store.now()
        self._recorded[caller.key] = now
        try:
            self._store.keys.set_used(caller.key, now)
        except FtopsError as error:  # a full disk must not refuse valid keys
            _log.warning("the use of the key %s was not recorded: %s", caller.key, error)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
