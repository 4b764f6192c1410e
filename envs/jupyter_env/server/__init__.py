"""The server side of the notebook environment."""
