"""A fake server of OpenRouter with made-up data: what ``orwatch demo`` shows and the tests talk to."""
