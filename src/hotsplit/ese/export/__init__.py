"""Whole databases as Parquet, Arrow, CSV, JSON lines or SQLite."""
