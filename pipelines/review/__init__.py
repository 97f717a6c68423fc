"""The reviewer's loop: a workbook of what is irregular goes out, decisions come in.

Belongs here: writing the workbook, taking decisions in.
Does not belong here: rules, what a decision changes.
"""
