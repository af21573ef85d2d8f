"""Backup of databases in use, and restore beside those that serve."""
