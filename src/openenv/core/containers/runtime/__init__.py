"""Old path of the providers; they live in `openenv.providers`."""

from openenv.core.containers.runtime.providers import *
