"""Fitting an encoder to the logs: pairs of texts that the same users took up together, and LoRA on them."""
