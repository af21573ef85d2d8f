"""Pages of databases in memory and on disk: the cache, the ways they are written."""
