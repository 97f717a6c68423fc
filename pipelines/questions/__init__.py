"""Standing questions on the command line.

Belongs here: asking the views of ``billing.duckdb``, printing what they answer.
Does not belong here: the views themselves (``assets.standing_questions``).
"""
