"""1 check: who is written to.

`rows.Listing` reads recipients.csv in passes, as recipients and problems, and keeps none of it. Behind it:
`decoding` (bytes to lines), `sheet` (lines to cells, each with its place), `columns` (the header), `plain`
and `row` (one row by itself, the quick way and the whole one), `among` (the same address twice), `cells`
(what a cell may hold), `roles`, `domains` and `meant` (who should not be written to, and what was probably
meant), `gathered` (problems, bounded).
`suppression` has the words for addresses that are not to be written to any more.
"""
