"""The benchmarks: one module a part, and what the parts share. Python's standard library only."""
