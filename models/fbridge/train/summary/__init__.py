"""Results of a run: what it has learnt, the next command lines, and report.html."""
