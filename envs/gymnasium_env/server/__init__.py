"""The server side of the Gymnasium environment."""
