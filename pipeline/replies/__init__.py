"""4 collect: what came back.

`account` says which mailbox, `mailbox` what is asked of one. Three edges answer: `mailbox_imap` (over
`mailbox_imap_session`, over `mailbox_imap_wire`), `mailbox_maildir` and `mailbox_mbox`; `mailbox_opening`
makes the one that an account names. `collecting` carries mail from a mailbox into the store, raw, before
anything is made of it.
"""
