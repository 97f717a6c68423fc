"""Reading a delivered file into rows of text fields, whatever its layout.

Belongs here: one module per kind of file; each gives a ``Sheet``. Nothing is interpreted yet: fields stay text.
Does not belong here: dates, volumes, duplicates (``assets.records``), where files come from (``assets.deliveries``).
"""
