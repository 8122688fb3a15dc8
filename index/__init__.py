"""Fingerprints in, candidates out: the store of originals and the search over them.

Enter by `index.catalogue.Catalogue`. From the bottom: `spaces` says how two vectors are
scored, `exact` is the reference, `vectors` owns faiss, `pieces` and `live` make a set of rows
that changes while it is searched; `store` owns LMDB, `ledger` says what a write means,
`records` what a record's bytes mean; `snapshot` and `recovery` make starts fast and safe.

Why it is like this (2026-11-24):

- faiss proposes, one NumPy function scores. Flat, inverted, CPU and GPU indexes sum in
  different orders and round differently; rescoring the few candidates makes ids, order and
  scores the same everywhere, and lets a property test ask for equality, not closeness.
- Vectors are kept as float16 everywhere. Half the memory, cosines move by about 1e-4, and a
  snapshot, a rebuild and a live index hold the same values.
- faiss is never changed after it was built: searching while adding is a segmentation fault.
  New rows are compared one by one until there are enough to seal.
- The index follows the store in its writer thread. Slower writes by some microseconds, and
  in return a call that has returned is searchable, in the order of the change log.
- One LMDB writer with group commit: an fsync costs milliseconds whatever it holds.
"""
