"""Text to vectors: the encoder, the store that remembers them, and the pass that embeds what is new."""
