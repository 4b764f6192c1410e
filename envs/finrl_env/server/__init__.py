"""The server side of the trading environment."""
