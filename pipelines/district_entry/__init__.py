"""A district's entry while it is being written: a sample read against it, a draft made from a file nobody knows yet.

Belongs here: what a person sees before an entry is used. Does not belong here: reading files (``assets``), what an entry may
say (``validations``), printing (``pipelines.cli``).
"""
