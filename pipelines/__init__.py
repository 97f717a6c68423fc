"""How a run happens: definitions, jobs, checks in the UI, the run's lock, the I/O manager, the command line.

Belongs here: everything that knows of runs, the UI or a terminal.
Does not belong here: what is made (``assets``), what must hold (``validations``), what the law says (``rate_tables``).
"""
