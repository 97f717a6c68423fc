"""Release: what a person approves, what leaves the house, and the proof of both.

Belongs here: the steps from a finished run to files that another system imports, and their commands.
Does not belong here: anything that is computed from deliveries (``assets``).
"""
