"""The vectors of several domains on common ground: whitening, CORAL, and a map to look at."""
