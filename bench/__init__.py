"""Benchmarks: every module here that has `run() -> list[Row]` is one (see `bench.common`)."""
