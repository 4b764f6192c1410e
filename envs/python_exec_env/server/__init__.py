"""The server side of the Python execution environment."""
