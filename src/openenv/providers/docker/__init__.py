"""Containers of an engine that speaks Docker's API, Docker's own or Podman's: one provider, one noun a file."""
