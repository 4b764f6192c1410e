"""The tests of tasks are for agents' work, not for this package."""

collect_ignore = ["tasks"]
