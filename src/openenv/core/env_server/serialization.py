"""Old path of actions and observations as dictionaries; they live in `openenv.protocol`."""

from openenv.protocol.serialization import (
    deserialize_action,
    deserialize_action_with_preprocessing,
    serialize_observation,
)

__all__ = ["deserialize_action", "deserialize_action_with_preprocessing", "serialize_observation"]
