"""Letters to customers, as Word documents from templates that staff edit.

Belongs here: whom a letter goes to, what it says, writing it.
Does not belong here: computing any figure of it; keeping names and addresses.
"""
