"""The ledger: what happened, on disk, with one method for each question and each change.

It is the only owner of `ledger.db`. Every move of a run or a stage from one state to another is one
compare-and-set transaction that also writes down the move: whoever comes second gets RunBusy and
has changed nothing. It holds no secrets.
"""

from ftops.ledger.calls import Calls
from ftops.ledger.deletions import Deletions
from ftops.ledger.events import Events
from ftops.ledger.models import Models
from ftops.ledger.parts import Parts
from ftops.ledger.rows import Intent, Move, RemoteCall, StoredEvent, Upload
from ftops.ledger.runs import Runs
from ftops.ledger.stages import Stages

__all__ = ["Intent", "Ledger", "Move", "RemoteCall", "StoredEvent", "Upload"]


class Ledger(Runs, Stages, Events, Calls, Parts, Models, Deletions):
    """`Ledger(path, clock)` opens the file or makes it; threads may share one.

    Raises LedgerTooNew for a file of a later ftops, LedgerError for one that is damaged or that
    another process holds too long, and StorageError when the disk refuses.
    """
