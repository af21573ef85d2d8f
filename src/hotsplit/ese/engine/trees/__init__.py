"""B+ trees: nodes and their versions, space, splits and merges."""
