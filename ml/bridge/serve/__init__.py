"""Serving: the chosen blends as one model that lists, explains, is saved and loaded."""
