"""Who calls, what that caller may see, and how much of the server it may take.

From the bottom: `roles` names the roles and says what a caller is, `keys` keeps API keys in an
LMDB environment of their own. Which method a role may call stands in one table,
`service.rpc.permissions`; `service.rpc.front` asks all of it before a message is read.

Why it is like this (2026-11):
- Keys are made, listed and revoked by `copycatch keys` on the data folder, and by no call: who
  may write that folder owns the server anyway, and an admin key that was stolen can not make
  itself a second one before it is revoked. The first key needs no special case.
- Keys lie apart from the originals, because they are needed before those are loaded, and
  because LMDB lets several processes work in one environment: a key made or revoked beside
  a running server counts with the next call. Nothing is cached; a look-up takes microseconds.
- A secret is 256 random bits, so a plain SHA-256 keeps it: there is nothing to guess, and
  nothing that a slow hash would protect.
- To an owner the brands of others do not exist. Whether a name is its own is decided from the
  request and the key alone, before anything is looked up: a brand that is somebody else's
  and one that nobody has take the same path to the same answer in the same time.
"""
