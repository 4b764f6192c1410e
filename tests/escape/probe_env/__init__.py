"""An environment whose actions try to get out of whatever holds it."""
