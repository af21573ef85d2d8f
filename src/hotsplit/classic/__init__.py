"""The classic tools, ``eseutil`` and ``esefile``: their switches and texts over this library."""
