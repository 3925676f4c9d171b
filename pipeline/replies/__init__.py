"""4 collect: what came back, sorted, and laid beside the letter it answers.

`account` says which mailbox, `mailbox` what is asked of one. Three edges answer: `mailbox_imap` (over
`mailbox_imap_session`, over `mailbox_imap_wire`), `mailbox_maildir` and `mailbox_mbox`; `mailbox_opening`
makes the one that an account names. `collecting` carries mail from a mailbox into the store, raw, before
anything is made of it.

Then the order of reading: `kinds` (the words), `sorting` (the decision, one step after the other), and the
readers it asks: `origin` (did a program send this?), `bounces` and `reasons` (who did not get the letter, and
why), `absence` (automatic answers), `optouts`. The words they look for are data, in `rules/`.
"""
