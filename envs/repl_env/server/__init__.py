"""The server side of the environment of long contexts."""
