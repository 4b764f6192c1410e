"""The endpoints, one file a kind. Each takes bytes to `dispatch` and its reply back."""
