"""What a reviewer reads of a model version, and what follows from what they decide."""
