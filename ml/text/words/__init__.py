"""Text as words that people read: which language it is in, its words, the keywords of a history."""
