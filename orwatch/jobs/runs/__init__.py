"""``orwatch runs``, and the record that each run leaves."""
