"""Tables: rows, columns, indexes, cursors, long values."""
