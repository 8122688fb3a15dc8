"""`copycatch demo`: the whole service on real photographs, in one command.

Why it is like this (2026-11): a newcomer believes what happens on real pictures through the
real door. So the demo starts the server that production runs, registers photographs over
gRPC and checks edited ones over gRPC; what it expected is written down before, and the
command fails when an answer differs. The photographs lie in the wheels of scikit-image and
scikit-learn: nothing is fetched.
"""
