"""The tables, each column with the reason why it is kept.

`CAMPAIGN` holds the tables of one world of one campaign; `SHARED` those that campaigns of one user share:
opt-outs, the limits of relays and recipients, and which store was last seen where. With SQLite they are two
files (in the sandbox one, for nothing is shared there); in one database their names do not collide.
"""

from __future__ import annotations

import sqlalchemy as sa

from pipeline.store import swapping, tallying

CAMPAIGN = sa.MetaData()
SHARED = sa.MetaData()

Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Moment = sa.BigInteger  # microseconds since 1970, UTC


meta = sa.Table(
    "meta",
    CAMPAIGN,
    sa.Column("name", sa.Text, primary_key=True),  # store_id, secret, campaign, epoch, host, paused, ...
    sa.Column("value", sa.Text, nullable=False),
)

migrations = sa.Table(
    "migrations",
    CAMPAIGN,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("applied_at", Moment, nullable=False),
)

runs = sa.Table(
    "runs",
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column(
        "command", sa.Text, nullable=False
    ),  # the audit line: who ran what, when, how many, under which limits
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("relay", sa.Text, nullable=False),
    sa.Column("limits", sa.Text, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),  # NULL: running, or died
    sa.Column("sent", sa.Integer, nullable=False, default=0),
    sa.Column("failed", sa.Integer, nullable=False, default=0),
    sa.Column("deferred", sa.Integer, nullable=False, default=0),
    sa.Column("exit", sa.Integer),
    # Where several hosts send: by what name people know this one, and when it last said that it is alive.
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("seen_at", Moment),  # NULL: one host only, whose lock says who is alive
)

batches = sa.Table(
    "batches",  # letters that one host takes together, where there are several; gone once they are settled
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("lane", sa.Text, nullable=False),  # a domain that has its own limit; "" holds all others
    sa.Column("run", Id, sa.ForeignKey("runs.id")),  # who has it in hand; NULL: nobody
    sa.Column("made_at", Moment, nullable=False),
    sa.Column("taken_at", Moment),
)

letters = sa.Table(
    "letters",
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    # Identity: what makes two letters the same letter.
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("signatory", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column(
        "message_id", sa.Text, nullable=False, unique=True
    ),  # fixed for life; ties replies and notices to it
    # What it is made from; today's row until the first permission.
    sa.Column("email", sa.Text, nullable=False),  # as it goes on the wire
    sa.Column("domain", sa.Text, nullable=False),  # A-label: for limits
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("line", sa.Integer, nullable=False),  # in recipients.csv, for messages
    sa.Column("row", sa.Text, nullable=False),  # JSON object of the row's cells
    sa.Column("seen", sa.Integer, nullable=False),  # number of the planning that saw its row last
    # Where it is.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False, default=""),  # in words, for `show`
    sa.Column(
        "attempts", sa.Integer, nullable=False, default=0
    ),  # permissions it has had: the last n of the fence
    sa.Column("deferrals", sa.Integer, nullable=False, default=0),  # steps along the schedule
    sa.Column("due_at", Moment),  # not before; NULL unless queued
    sa.Column("planned_at", Moment, nullable=False),
    sa.Column("released_at", Moment),
    sa.Column("ended_at", Moment),  # when it left the queue
    sa.Column("thread", sa.Text, nullable=False, server_default=sa.text("''")),  # JSON; "": a first letter
    sa.Column("batch", Id),  # where several hosts send: with which others it goes; NULL: not handed out
    sa.UniqueConstraint("campaign", "round", "signatory", "recipient", name="letters_identity"),
)
# The queue in its order, and the counts. SQLite takes a partial index only where the statement itself says
# the state, for it does not see that `state = ?` implies it.
sa.Index("letters_queue", letters.c.state, letters.c.due_at, letters.c.id)
PLANNED = letters.c.state == sa.literal_column("'planned'")
# The first few of a million are released without sorting it.
_in_line = sa.Index("letters_planned", letters.c.line, letters.c.id, sqlite_where=PLANNED)
# Batches are for several hosts, and those share a PostgreSQL.
_queued = letters.c.state == sa.literal_column("'queued'")
_in_batch = sa.Index("letters_batch", letters.c.batch).ddl_if(dialect="postgresql")
_loose = sa.Index("letters_loose", letters.c.due_at, letters.c.id).ddl_if(dialect="postgresql")

tallies = sa.Table(
    "tallies",  # letters by state, so that nobody has to count a million; kept as `tallying.py` says
    CAMPAIGN,
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("number", Id, nullable=False),
)
sa.event.listen(tallies, "after_create", tallying.keep)

bundles = sa.Table(
    "bundles",  # messages permitted in one commit, packed together: alike as they are, they take a tenth
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),  # zlib
)

contents = sa.Table(
    "contents",  # what was permitted to go out; frozen from then on
    CAMPAIGN,
    sa.Column("letter", Id, sa.ForeignKey("letters.id"), primary_key=True, autoincrement=False),
    sa.Column("sha256", sa.Text, nullable=False),  # of the message, CRLF, before dot-stuffing
    sa.Column("bundle", Id, sa.ForeignKey("bundles.id")),  # NULL where [store] bytes = false
    sa.Column("start", sa.Integer, nullable=False),  # of the message in its bundle, octets
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("built_at", Moment, nullable=False),  # its Date
)

approvals = sa.Table(
    "approvals",  # who approved the letters as they were rendered, and when
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),  # the SHA-256 of the manifest that was approved
    sa.Column("letters", sa.Integer, nullable=False),
    sa.Column("withdrawn_at", Moment),  # NULL: it holds
)

origins = sa.Table(
    "origins",  # what approved letters were made from, but for their rows: most of them the same
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("made_from", sa.Text, nullable=False),  # JSON: hashes of files and settings, by name
)

approved = sa.Table(
    "approved",  # the very bytes that may go as a letter's first words
    CAMPAIGN,
    sa.Column("letter", Id, sa.ForeignKey("letters.id"), primary_key=True, autoincrement=False),
    sa.Column("approval", Id, sa.ForeignKey("approvals.id"), nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("file", sa.Text, nullable=False),  # below the folder of drafts
    sa.Column("encoding", sa.Text, nullable=False),  # qp, 8bit
    sa.Column("built_at", Moment, nullable=False),  # its Date
    sa.Column("row", sa.Text, nullable=False),  # JSON: marks of its cells, by column
    sa.Column("origins", Id, sa.ForeignKey("origins.id"), nullable=False),
)

withheld = sa.Table(
    "withheld",  # planned letters that no send may release, and why; found anew by each run
    CAMPAIGN,
    sa.Column("letter", Id, sa.ForeignKey("letters.id"), primary_key=True, autoincrement=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("changed", sa.Boolean, nullable=False),  # it was approved, and is not the same any more
)

attempts = sa.Table(
    "attempts",  # THE FENCE: one row, one permission; committed before the final dot may go out
    CAMPAIGN,
    sa.Column("letter", Id, sa.ForeignKey("letters.id"), primary_key=True, autoincrement=False),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run", Id, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("began_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),  # NULL: open
    sa.Column("phase", sa.Text),  # how far it came
    sa.Column("verdict", sa.Text),  # the table's word
    sa.Column("code", sa.Integer),  # NULL: no answer
    sa.Column("enhanced", sa.Text),
    sa.Column("text", sa.Text),
    sqlite_with_rowid=False,
)
_open = attempts.c.ended_at.is_(None)
_of_open = sa.Index("attempts_open", attempts.c.run, sqlite_where=_open)

mailboxes = sa.Table(
    "mailboxes",  # how far each mailbox was fetched
    CAMPAIGN,
    sa.Column("name", sa.Text, primary_key=True),  # never a secret
    sa.Column("mark", sa.Text, nullable=False),  # only the mailbox understands it
)

mails = sa.Table(
    "mails",  # mail as it was fetched: kept before anything is made of it
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),  # its fingerprint: fetched twice, kept once
    sa.Column("mailbox", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),  # where in the mailbox it lay
    sa.Column("raw", sa.LargeBinary),  # zlib; NULL once erased
    sa.Column("extent", sa.Text, nullable=False),  # whole, headers, nothing
    sa.Column("size", sa.Integer, nullable=False),  # of the whole mail, octets
    sa.Column("flags", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),  # it is not whole
    sa.Column("received_at", Moment),  # by the mailbox; NULL where it does not say
    sa.Column("fetched_at", Moment, nullable=False),
    sa.Column("sorted_at", Moment),  # NULL: waits
)
_unsorted = mails.c.sorted_at.is_(None)
_of_unsorted = sa.Index("mails_unsorted", mails.c.id, sqlite_where=_unsorted)

replies = sa.Table(
    "replies",  # what was made of each mail; made anew when it is sorted again, but for what a person decided
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("mail", Id, sa.ForeignKey("mails.id"), nullable=False, unique=True),
    sa.Column("letter", Id, sa.ForeignKey("letters.id")),  # NULL: matched to none
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),  # of an automatic answer
    sa.Column("ours", sa.Boolean, nullable=False),  # a letter or notice of ours, come back: no reply
    sa.Column("received_at", Moment, nullable=False),  # of what was passed on: when it was written
    sa.Column("why", sa.Text, nullable=False),  # JSON list: why it is of its kind
    sa.Column("matched", sa.Text, nullable=False),  # JSON list: why it is this letter's
    sa.Column("score", sa.Integer, nullable=False),
    sa.Column("tied", sa.Boolean, nullable=False),  # by what nobody can guess
    sa.Column("candidates", sa.Text, nullable=False),  # JSON list of [letter, score]: the holding list
    sa.Column("name", sa.Text, nullable=False),  # of the author
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),  # the new words
    sa.Column("attachments", sa.Text, nullable=False),  # JSON list of {name, type, size}
    sa.Column("recipients", sa.Text, nullable=False),  # JSON list: whom a notification speaks of
    sa.Column("forwarded_by", sa.Text, nullable=False),  # who passed it on: unverified
    sa.Column("case_number", sa.Text, nullable=False),
    sa.Column("returns", sa.Text, nullable=False),  # the day an absence names
    sa.Column("review", sa.Text, nullable=False),  # what a person should look at
    sa.Column("reviewed_at", Moment),  # a person has decided: sorting again asks no more
    sa.Column("assigned_at", Moment),  # a person has said which letter it answers: sorting again keeps it
)
# For the figures of `status` as well, which need not read the words of replies.
sa.Index("replies_of_letters", replies.c.letter, replies.c.ours, replies.c.kind, replies.c.received_at)

written = sa.Table(
    "written",  # letters that went out, as a mail that came back may speak of them; made when mail is sorted
    CAMPAIGN,
    sa.Column("letter", Id, sa.ForeignKey("letters.id"), primary_key=True, autoincrement=False),
    sa.Column("recipient", sa.Text, nullable=False),  # its key
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),  # "" where bytes are not kept
    sa.Column("topic", sa.Text, nullable=False),  # the subject as `replies/subject.py` compares it
)
sa.Index("written_recipient", written.c.recipient)
sa.Index("written_domain", written.c.domain)
sa.Index("written_topic", written.c.topic)

events = sa.Table(
    "events",  # what a person decided, and what the program did unasked; nothing here is ever changed
    CAMPAIGN,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("letter", Id, sa.ForeignKey("letters.id")),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False, default=""),
)
sa.Index("events_letter", events.c.letter)


shared_meta = sa.Table(
    "shared_meta",
    SHARED,
    sa.Column("name", sa.Text, primary_key=True),  # secret
    sa.Column("value", sa.Text, nullable=False),
)

shared_migrations = sa.Table(
    "shared_migrations",
    SHARED,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("applied_at", Moment, nullable=False),
)

suppressions = sa.Table(
    "suppressions",
    SHARED,
    sa.Column("hash", sa.Text, primary_key=True),  # HMAC of the address key: outlives the address
    sa.Column("address", sa.Text),  # NULL once erased
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("since", Moment, nullable=False),
)

paces = sa.Table(
    "paces",
    SHARED,
    sa.Column("name", sa.Text, primary_key=True),  # "relay smtp.example.org:587", "domain ... gmail.com"
    sa.Column("free_at", Moment, nullable=False),  # GCRA: the next slot
)

spent = sa.Table(
    "spent",
    SHARED,
    sa.Column("name", sa.Text, primary_key=True),  # of the quota; a recipient's by hash
    sa.Column("start", Moment, primary_key=True, autoincrement=False),  # of the bucket
    sa.Column("count", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

sa.event.listen(SHARED, "after_create", swapping.keep)

holds = sa.Table(
    "holds",
    SHARED,
    sa.Column("name", sa.Text, primary_key=True),  # a relay or a relay's domain
    sa.Column("until", Moment, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

places = sa.Table(
    "places",  # so that a copied folder or a restored backup does not send again without saying so
    SHARED,
    sa.Column("store_id", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),  # number of its last real run
    sa.Column("sent", sa.Integer, nullable=False),  # letters it had sent by then
    sa.Column("seen_at", Moment, nullable=False),
)

mx = sa.Table(
    "mx",  # what the DNS said of recipients' domains, so that the next check need not ask again
    SHARED,
    sa.Column("domain", sa.Text, primary_key=True),  # A-labels
    sa.Column("mail", sa.Text, nullable=False),  # does it take mail, in the words of `recipients/mx.py`
    sa.Column("until", Moment, nullable=False),  # the answer holds no longer
    sqlite_with_rowid=False,
)

strikes = sa.Table(
    "strikes",  # bounces that may mean the address; counted over all campaigns, forgotten at a sign of life
    SHARED,
    sa.Column("hash", sa.Text, primary_key=True),  # HMAC of the address key
    sa.Column("source", sa.Text, primary_key=True),  # the store and mail it came from: counted once
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sqlite_with_rowid=False,
)


def make_partial_at_server() -> None:
    """Say which rows the partial indexes hold, where the tables are PostgreSQL's.

    To say so where they are defined would load all that SQLAlchemy has for PostgreSQL.
    """
    held = {
        _in_line: PLANNED,
        _in_batch: _queued & letters.c.batch.is_not(None),
        _loose: _queued & letters.c.batch.is_(None),
        _of_open: _open,
        _of_unsorted: _unsorted,
    }
    for index, rows in held.items():
        index.dialect_options["postgresql"]["where"] = rows
