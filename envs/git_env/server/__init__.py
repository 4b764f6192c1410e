"""The server side of the git environment."""
