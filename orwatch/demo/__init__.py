"""A loopback stand-in for OpenRouter with made-up data: what ``orwatch demo`` shows and the tests talk to."""
