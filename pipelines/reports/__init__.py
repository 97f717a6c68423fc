"""Reports: of a year, for the board and the public; of a district's delivery, for the district.

Belongs here: which figures stand in them, in which words. Does not belong here: computing bills or averages, the look of a page
(``pipelines.pages``), drawing (``pipelines.pictures``).
"""
