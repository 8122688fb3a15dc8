"""The command `copycatch`: runs a server, and talks to one over gRPC.

Why it is like this (2026-11): every command but `serve` is a client of the same contract
that the listing pipeline uses, also when it works without a server: `--local` starts a
real one in this process on a free port of the loopback interface. There is one path to a
verdict, and the command line shows exactly what the service answers.

Exit codes, the same for all commands: 0 done and nothing to report, 1 done and something
was found or failed (a copy, an item that was not imported), 2 not done.
"""
