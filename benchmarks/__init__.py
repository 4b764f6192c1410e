"""What this project measures of itself: `python -m benchmarks [name ...]`, or `make bench`.

Each benchmark is one module with a `run(bench)` that returns figures. A figure may have a limit and a verdict,
but no benchmark ever fails because of a time: machines differ, and a number is to be read, not asserted. Where a
figure is compared with release 0.10.0 of the `openenv` distribution ("the peer"), both are measured in the same
run, in alternating rounds, from one source text (`trivial/`), each with its own library on both ends.

To add one: a module here whose docstring begins with a line that says what it measures, and its name in
`__main__.NAMES`.
"""
