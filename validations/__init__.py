"""What must hold: the shape of every table, of the workspace and of a district's entry, and the rules of review.

Belongs here: declared table schemas, typed configuration of a workspace and its districts, reasons for refusing a row,
rules that find what is irregular, checks that say what adds up.
Does not belong here: Dagster, storage, reading of files, making of tables.
"""
