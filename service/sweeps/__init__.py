"""Sweeps: what is online already is checked, millions of listings at a time.

Enter by `runner.Sweeps`. From the bottom: `access` says what may be read and reads it,
`listing`, `rows`, `folder`, `shards` and `manifest` make listings of it, `partition` makes
findings of listings for a `target`, `ledger` and `book` keep plans and findings, `filters` and
`groups` are how these are read, `board` shares the work, `local` and `cluster` are the engines
that do it.

Why it is like this (2026-11):
- The plan is written down before the first picture is read. So the manifest may change or go
  away, a repeated id is found whatever lies between, how much is left is known, and every
  way to end (a crash, a restart, another engine) goes on from the same place.
- A chunk leaves the plan in the commit that brings its findings: each listing has exactly one.
- Engines differ in where they run the one partition function, never in what it does.
- Sweeps have a store of their own: findings can outgrow the catalogue a hundred times.
- Work is shared in the process by turns before each picture, not by priorities of threads: a
  thread of low priority that holds the interpreter's lock holds up those of high priority.
"""
