"""gRPC in and out: what surrounds a call, the three services, and the doors for messages.

A call goes through `front` (request id, log, metrics, errors as statuses). Before anything is read
it asks `doors` who calls, `permissions` whether that one may, and the `gate` whether there is room;
`callers` bounds how long messages and answers may take. Then it goes to a servicer (`brands`,
`originals`, `match`), which has its message checked by `convert`, its work done in the threads of
`service.workers`, and its answer made by `answers`. `streams` does the same for many requests at a
time, `errors` is the table of what callers are told.

Why it is like this (2026-11):
- Servicers raise the errors of the packages below; one interceptor turns them into statuses.
  So a status is made in one place, and a test can hold the table against the classes.
- Callers are known, and refused, before the message is received. So every method is served as a
  stream, which is the same on the wire and lets us choose when to read: with messages of 64 MiB
  a refusal after reading would be too late for the memory.
- An error of one picture is part of an answer; an error of the server ends the call. A listing of
  twenty pictures is not lost to one broken file, and is not half answered by a full queue.
- Streams wait for room where single calls are told QUEUE_FULL: a stream has flow control to
  slow its sender, a single call has nothing but the answer.
- A picture that could not be read makes its listing REVIEW at least: a file that a browser
  shows and we do not read must not be a way around the check.
"""
