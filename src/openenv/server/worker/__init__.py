"""Environments in processes of their own.

`forkserver` is a process that has imported the environment and forks a worker for each session; `child` is what
runs in a worker; `forks` and `runner` are the server's ends of the two.
"""
