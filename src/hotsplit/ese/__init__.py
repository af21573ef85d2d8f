"""The Extensible Storage Engine: formats, files, reading, checking, recovery."""
