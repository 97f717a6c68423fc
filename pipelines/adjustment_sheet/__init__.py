"""The adjustment sheet from the office's side: the template that is filled in, the entries that are due for renewal.

Belongs here: what people fill in and what reminds them to. Does not belong here: reading the sheet (``assets.adjustments``).
"""
