"""Checking what a file holds against the rules of its format."""
