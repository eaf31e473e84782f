"""Benchmarks: ratios of one run, printed, never asserted. Run them with `make bench`."""
