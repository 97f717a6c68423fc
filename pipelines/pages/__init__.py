"""Pages for people.

Belongs here: their parts and their look. Does not belong here: what stands on a page.
"""
