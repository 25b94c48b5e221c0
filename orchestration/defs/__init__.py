"""One module per stage of the path of a log line, in its order; definitions.py loads this folder."""
