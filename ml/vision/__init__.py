"""Item images to vectors: the encoder, and the pass that embeds what is new."""
