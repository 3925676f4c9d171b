"""The store: what was planned, permitted, answered and decided. The only part that imports SQLAlchemy.

    database.py    open a file, set it up, refuse what is unsafe, run migrations, hand out transactions
    tables.py      the tables of one world of one campaign, and those that campaigns share
    migrations.py  how an older file becomes today's
    planning.py    rows of the list become letters; identity decides what is new
    queue.py       release, claim, suppress, expire
    fence.py       permissions and results: one transaction for all connections
    journal.py     the one writer: groups permissions and results into commits
    ledger.py      paces and quotas as rows
    shared.py      suppressions, and which store is at which place
    operator.py    what a person decides: resolve, resend, pause, cancel
    history.py     counts and stories for `status` and `show`
    lock.py        one run a campaign on this host

Times are whole microseconds since 1970 in UTC. Every writing transaction begins with BEGIN IMMEDIATE.
"""
