"""The wire: messages, codes and the codec between bytes and typed objects.

Version 1 is JSON over one WebSocket a session, or over plain HTTP. `messages` has a model for every frame
and body, `unions` decides which member of an action union a payload means, `codec` turns bytes into
messages and results into bytes for the types of one environment.
"""
