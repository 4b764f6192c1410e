"""Old path of what runs servers; see `openenv.providers`."""
