"""What is made: one module per stage, in the order of the data's way.

Belongs here: functions from tables to a table, the readers of delivered files, the store's Parquet folder.
Does not belong here: jobs, runs, command line (``pipelines``); what tables must look like (``validations``); rates and
averaging rules (``rate_tables``).
"""
