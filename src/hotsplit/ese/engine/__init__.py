"""The live engine: storage groups that write real ESE databases, logs and checkpoints."""
