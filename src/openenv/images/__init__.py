"""Container images of environments: what goes into one, and the engine that builds it.

`openenv build` is a thin layer above `build_image`.
"""

from openenv.images.build import BuiltImage, build_image
from openenv.images.engine import Engine, find_engine

__all__ = ["BuiltImage", "Engine", "build_image", "find_engine"]
