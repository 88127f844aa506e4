"""``orwatch alert``, and the judging of what is worth a warning at the end of a job."""
