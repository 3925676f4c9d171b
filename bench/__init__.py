"""How fast the program is, beside others that do the same work: `python -m bench`. See README.md here.

__main__       the command: which scenarios, and the page
options        its command line
material       the campaign that everybody sends, and its words for each contender
contenders     who takes part, and the command line of each peer
ours           our own variants
peers          other people's programs: found, or installed into a cache folder
processes      one command, run to its end and paid for: wall, CPU, peak memory (by way of `launch`)
sink           the relay that only counts: Postfix's smtp-sink
postfix        a real Postfix that counts
tls            stunnel, and a certificate
relays         one of these, and what lies before it
race           rounds of contenders in turn
scenarios      the races, and what they decide
stores         what a large store costs: memory, `campaign status`, resuming
intake         reading the list, beside email-validator
storm          kill -9 at random moments
large          what is no race: parts of the report for these three
figures        medians, ratios inside a round
goals          what must be reached, and whether it is
machine        what it was measured on
report         all of it as Markdown

Run in processes of their own: launch, delay_proxy, session_alone, journal_normal, python_peers,
nodemailer.mjs, and intake with arguments.
"""
