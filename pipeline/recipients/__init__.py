"""1 check: who is written to.

`rows.read_recipients` turns the bytes of recipients.csv into recipients and problems. Behind it: `decoding`
(bytes to text), `sheet` (text to cells, each with its place), `columns` (the header), `cells` (what a cell
may hold), `roles`, `domains` and `meant` (who should not be written to, and what was probably meant).
`suppression` has the words for addresses that are not to be written to any more.
"""
