"""The table of keys, and what management keys list."""
