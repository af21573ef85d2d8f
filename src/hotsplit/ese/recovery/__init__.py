"""Assess, redo, undo: soft and hard recovery."""
