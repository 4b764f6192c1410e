"""What a server says about itself: health, metadata, schemas, capacity."""

from __future__ import annotations

from fastapi import APIRouter

from openenv.models import EnvironmentMetadata
from openenv.protocol.messages import HealthResponse, SchemaResponse, ServerCapacityStatus
from openenv.server.config import ServerContext


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["about"])

    @routes.get("/health")
    async def health() -> HealthResponse:
        """Say that the server runs. Answers at once, however busy the environments are."""
        return HealthResponse()

    @routes.get("/metadata")
    async def metadata() -> EnvironmentMetadata:
        """Say what the environment is."""
        return await context.manager.describe()

    @routes.get("/schema")
    async def schema() -> SchemaResponse:
        """Return the JSON Schemas of actions, observations and states."""
        return context.schema

    @routes.get("/capacity")
    async def capacity() -> ServerCapacityStatus:
        """Say how many sessions there are and may be."""
        return context.manager.capacity()

    return routes
