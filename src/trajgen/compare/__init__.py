"""A run seen by its dials: success per value of any key of a job, with intervals and paired tests. Prints nothing."""
