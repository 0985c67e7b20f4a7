"""Published data sets, read from the files that their authors give out.

Each loader says in its error messages which files it expects where, and where one gets them.
"""
