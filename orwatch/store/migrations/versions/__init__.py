"""One module a step; each one is applied whole or not at all."""
