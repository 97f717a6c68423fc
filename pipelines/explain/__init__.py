"""Why an amount is what it is: the derivation of a service's bill, for a person and for a program.

Belongs here: gathering what the run emitted about one service, saying it as text, JSON and a page.
Does not belong here: any rule of billing; a figure that the run did not make.
"""
