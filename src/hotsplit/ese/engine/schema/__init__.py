"""Definitions of tables, columns and indexes, and their changes."""
