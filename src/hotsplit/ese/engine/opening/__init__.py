"""How an instance and its databases are opened or made: restart, recovery in place, creation."""
