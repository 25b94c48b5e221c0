"""Scorers: everything that gives every target item a score for a user, behind one contract."""
