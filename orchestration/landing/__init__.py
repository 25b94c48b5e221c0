"""From landing files to raw rows: dialects, expressions, loading by window, and what changed since."""
