"""Environments for the trainers of TRL, `GRPOTrainer` and `AsyncGRPOTrainer`."""

from openenv.integrations.trl.environments import EnvironmentFactory, ToolError, environment_factory

__all__ = ["EnvironmentFactory", "ToolError", "environment_factory"]
