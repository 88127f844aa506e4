"""What each job answers: frozen data that ``render`` turns into text and the command line into an exit code.

It stands below both, so that neither has to import the other. A module a job: making these classes takes
longer than most commands do.
"""
