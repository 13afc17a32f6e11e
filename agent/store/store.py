"""The one door to a job's state."""

from __future__ import annotations

from agent.store.accounts import Accounts
from agent.store.attempts import Attempts
from agent.store.audits import Audits
from agent.store.batches import Batches
from agent.store.bulks import Bulks
from agent.store.claims import Claims
from agent.store.dialects import Dialects
from agent.store.frames import Frames
from agent.store.histories import Histories
from agent.store.honey_pots import HoneyPots
from agent.store.jobs import Jobs
from agent.store.migrate import migrate
from agent.store.reviewers import Reviewers
from agent.store.reviews import Reviews
from agent.store.siblings import Siblings
from agent.store.spending import Spending
from agent.store.standings import Standings
from agent.store.tallies import Tallies


class Store(
    Jobs,
    HoneyPots,
    Frames,
    Dialects,
    Siblings,
    Attempts,
    Batches,
    Spending,
    Accounts,
    Tallies,
    Reviews,
    Reviewers,
    Claims,
    Histories,
    Audits,
    Bulks,
    Standings,
):
    """Every query as a named method; the classes it is made of say what each is about.

    Every method is its own transaction unless it is given one:

    >>> with store.transaction() as tx:  # doctest: +SKIP
    ...     store.add_labels("job", labels, tx=tx)
    ...     store.add_routes("job", 3, routes, tx=tx)
    """

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store at an SQLAlchemy URL, making or upgrading it where needed.

        Raises StoreError: not a URL, no driver, folder not writable, not a database, another program's database, a
        schema newer than this program.
        """
        store = cls(url)
        try:
            migrate(store)
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
