"""An environment that runs what it is given in workspaces, to be served in whatever holds servers."""
