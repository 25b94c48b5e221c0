"""Catalogue text to documents: plain text, no boilerplate, columns in a template, fitted to the encoder."""
