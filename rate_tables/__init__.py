"""What the law says: dated schedules, and the arithmetic they prescribe.

Belongs here: adopted rates and averaging rules as YAML, their strict loader, exact arithmetic, volume units, the winter
average and the charges as expressions over tables.
Does not belong here: files of districts, Dagster, storage, anything about how a run happens.
"""
