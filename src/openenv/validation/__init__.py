"""Named checks of what others write, their runner and their report.

A check is a function whose docstring is its help text. `conformance` holds a server, in any language, against the
protocol of `docs/protocol.md`.
"""
