"""A server of several processes behind one port: `openenv serve --workers N`.

`supervisor` is the parent: it accepts connections and hands each to the process that has least to do. `child` is
one server process. A session lives in the process that opened it, and its id says in which; what arrives elsewhere
is passed on over a socket pair that the parent makes (`peers`): frames by `relay`, HTTP requests by `pinned`.
"""
