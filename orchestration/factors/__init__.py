"""A domain's own factors: solved in memory or from disk, kept as files, compared and shown."""
