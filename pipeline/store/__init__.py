"""The store: what was planned, permitted, answered and decided. The only part that imports SQLAlchemy.

    database.py    open a file or a server, run migrations, hand out transactions
    sqlite_file.py, postgres.py   how each is opened and set up, and what is unsafe refused
    address.py     where a server is, and what our schemas are called there
    dialect.py     statements that say the same to both
    tallying.py, swapping.py      letters counted, and limits taken, with several hosts at work
    storeclock.py  the server's clock, for all hosts
    moving.py      from a file to a server
    tables.py      the tables of one world of one campaign, and those that campaigns share
    migrations.py  how an older file becomes today's
    planning.py    rows of the list become letters; identity decides what is new
    queue.py       release, claim, suppress, expire
    fence.py       permissions and results: one transaction for all connections
    journal.py     the one writer: groups permissions and results into commits
    ledger.py      paces and quotas as rows
    shared.py      suppressions, and which store is at which place
    operator.py    what a person decides: resolve, resend, pause, cancel
    mails.py       mail that came back, as it was fetched
    written.py     letters that went out, as the matching of replies asks for them
    replies.py     what was made of each mail, and what a person decided about it
    strikes.py     bounces that may mean an address, over all campaigns
    notices.py     replies passed on: letters in a store of their own
    recording.py   letters that supporters sent themselves
    history.py     counts and stories for `status` and `show`
    lock.py        one run a campaign on this host

Times are whole microseconds since 1970 in UTC. In a file every writing transaction begins with BEGIN
IMMEDIATE; at a server statements are written so that hosts need not exclude each other.
"""
