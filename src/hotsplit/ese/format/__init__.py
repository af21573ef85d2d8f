"""Layouts of bytes: bytes in, values out, and back. No files, no state, no policy."""
