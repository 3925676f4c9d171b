"""campaign: the letters of a letter campaign, each sent exactly once.

This is the way of one letter, in a page.

    recipients.csv ─┐                                       ┌─ limits (relay, domain, recipient, hours)
    templates/     ─┼─ check ── plan ── render ── journal ──┤
    campaign.toml  ─┘    │        │        │     (store)    └─ send ── relay ── ... ── the reader
                     problems  letters   bytes

It begins as a row. `recipients/decoding.py` turns the bytes of recipients.csv into text or says how to,
`sheet.py` into cells with their places, `rows.py` into recipients; whatever is wrong becomes a `Problem`
with file, line and column (`problem.py`), and all of them are shown together. `config/load.py` has read
campaign.toml the same way.

`letters/templates.py` gives the row its words: Jinja with a short list of what is allowed (`sandbox.py`),
then Markdown, which yields text and HTML from one source (`markdown.py`). `letters/message.py` makes the
bytes, with what `mail/headers.py` knows of header fields, and reads them back: the fields must be exactly
those intended. `delivery/compose.py` joins words and frame. What letters in a language have in common is made
once and only values are put in (`letters/cast.py`, `letters/letterhead.py`), with the same octets. `campaign
check` goes this far for every row; one error stops a send.

Where supporters sign, `recipients/signatories.py` has read who they are, and `recipients/pairing.py` says who
writes to whom. `delivery/plan.py` makes the pair a letter: its identity is (campaign key, round, signatory,
recipient), and its Message-ID comes from that identity, for life. `store/planning.py` writes it down as
*planned*; a row that is known already makes no second letter, wherever it stands in the list. A confirmed
`campaign send` moves it to *queued* (`store/queue.py`).

`delivery/supply.py` hands it out when its turn has come: it asks for opt-outs and office hours, and takes
its place in every pace and quota it falls under (`delivery/rules.py`; `delivery/limits.py` is the arithmetic,
`store/ledger.py` keeps the rows). `delivery/parcel.py` makes its envelope for what this relay offers.
`delivery/connect.py` has opened, secured and logged in; `delivery/session.py` speaks MAIL, RCPT and DATA, and
knows at every moment how far the letter has come; `delivery/flow.py` is its quick way for letters to which
nothing happens.

Then the fence. Before the last octets of the letter, those that end in the final dot, are handed to the
connection, a row (letter, attempt) must be committed on disk: `store/fence.py`, written by
`store/journal.py` for all connections together. No row, no final dot. And attempt n+1 cannot begin before
attempt n has ended with a definite refusal.

What the relay answers is judged by one table (`delivery/verdict.py`: whose fault, what next) and becomes
the letter's next state in one place (`delivery/desk.py`): *sent*; *queued*, due at the next step of the
schedule (`delivery/retry.py`); or *failed*. If the answer never comes, nobody can know: *in doubt*, held
until a person settles it (`store/operator.py`, `campaign resolve`).

`delivery/dispatch.py` runs as many sessions as there is work for; `cli/sending.py` wires all this for
`campaign send` and `campaign run`. `store/history.py` and `report/figures.py` tell where the letters are.

What comes back is fetched from a mailbox that is only read (`replies/collecting.py`), kept raw, then read
(`replies/reading.py`: sorted into one of ten kinds, matched to the letter it answers, its new words found)
and acted upon in one place (`replies/acting.py`): an opt-out or a dead address holds for the very next
letter, a doubt is settled. `cli/collecting.py` wires this; `cli/forwarding.py` passes what people write on to
the organisers. `store/evidence.py` and `report/evidence.py` tell all of it to whoever asks for proof.

Imports point downwards only: cli, config, then report and store, then replies, delivery, letters, recipients,
mail, and at the bottom problem, errors and clock. docs/flow.md says this at more length, docs/states.md
explains the fence.
"""
