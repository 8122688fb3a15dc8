"""Helpers: processes that look at pictures for a server, one picture at a time each.

A look at a copy is thousands of short calls into OpenCV and NumPy, and each has to get Python's
interpreter lock back. Two threads of one process spend half of their time on that; two processes
none. So the server keeps the store, the indexes and the encoders, and hands each picture to a
helper, which decodes, compares and explains it, and asks back for what only the server has:
neighbours, records, vectors, room in memory. A helper that dies takes nothing with it but the
picture that it had.

`pool` and `desk` are the server's side, `process` is the program, `wire` what they say to each
other, and `matcher` makes it all look like a `Matcher`.
"""
