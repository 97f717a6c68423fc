"""Records: from the text fields of a delivered file to rows that are consumption, or have a reason why not.

Belongs here: ``fields`` (which text is what), ``values`` (text to dates and volumes), ``comparison`` (rows that meet other
rows: duplicates, contradictions, register readings).
Does not belong here: reading files (``assets.readers``), the tables that leave the front door (``assets.consumption``).
"""
