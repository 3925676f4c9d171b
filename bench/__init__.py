"""How fast the program is, beside others that do the same work: `python -m bench`. See README.md here.

__main__       the command: which scenarios, how many letters and rounds
material       the campaign that everybody sends, and its words for each contender
contenders     who takes part, and the command line of each
peers          other people's programs: found, or installed into a cache folder
processes      one command, run to its end and paid for: wall, CPU, peak memory (by way of `launch`)
sink           the relay that only counts: Postfix's smtp-sink, with a proxy before it where one is asked for
race           rounds of contenders in turn
stores         what a large store costs: memory, `campaign status`, resuming
intake         reading the list, beside email-validator
figures        medians, ratios inside a round
goals          what must be reached, and whether it is
machine        what it was measured on
report         all of it as Markdown

Run in processes of their own: launch, delay_proxy, tls_proxy, session_alone, journal_normal, python_peers,
nodemailer.mjs, and intake with arguments.
"""
