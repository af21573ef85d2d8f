"""The transaction log as it is written: segments, files, group commit."""
