"""How fast orwatch is, beside something done in the same run: ``python -m tests.bench``."""
