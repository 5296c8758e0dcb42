"""The HTML report of an evaluation: one file with scores, charts and example clips."""

from fbridge.evaluation.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
