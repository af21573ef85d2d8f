"""A database as tables, rows and values."""
