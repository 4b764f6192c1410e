"""`python -m openenv`: the command line, for places where the `openenv` script is not on the PATH."""

from openenv.cli.main import main

if __name__ == "__main__":
    main()
