"""The server side of the grid world environment."""
