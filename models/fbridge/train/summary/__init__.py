"""What a run tells of itself: what it has learnt, the next command lines, and report.html."""
