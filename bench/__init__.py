"""Benchmarks: ratios of one run, never asserted in tests."""
