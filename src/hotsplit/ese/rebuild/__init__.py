"""Databases written anew from what is readable in others: compact, repair, scrub."""
