"""Blocks: the groups of user features that bridges read, and what of them may be read at all."""
