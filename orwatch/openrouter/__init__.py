"""OpenRouter's HTTP API: the client, the parser, and which endpoint answers for which key."""
