"""Actions made up from their classes, for environments whose actions need no thought."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from openenv.errors import ConfigurationError
from openenv.protocol.schemas import json_schema
from openenv.protocol.unions import members
from openenv.validation.samples import NotSimpleError, sample_value

__all__ = ["sample_actions"]


def sample_actions(action: Any) -> list[BaseModel]:
    """Return one legal action of each class, with the fields that have no default filled in.

    Args:
        action: An action class, or a union of several.

    Raises:
        ConfigurationError: A field's values are not simple enough to make one up.
    """
    return [_sample_of(cls) for cls in members(action)]


def _sample_of(cls: type[BaseModel]) -> BaseModel:
    try:
        return cls.model_validate(sample_value(json_schema(cls)))
    except (NotSimpleError, ValidationError) as error:
        raise ConfigurationError(
            f"No legal {cls.__name__} could be made up ({error}); set `actions` to some"
        ) from error
