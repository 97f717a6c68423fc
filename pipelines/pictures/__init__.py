"""Pictures of a year: small charts as SVG, for the report, the explanation and the Dagster UI.

Belongs here: drawing figures that are given. Does not belong here: where the figures come from, any arithmetic that a bill depends on.
"""
