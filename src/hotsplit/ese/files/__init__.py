"""Files opened, validated and walked, all through the `Env` port."""
