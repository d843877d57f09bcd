"""The fault harness: `make faults` breaks a running pipeline on purpose, again and again, and proves after each run
that nothing is lost, doubled or altered. `docs/faults.md` says what it breaks and what came of it.
"""
