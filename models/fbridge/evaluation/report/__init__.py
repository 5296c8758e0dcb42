"""An evaluation as one page that opens anywhere: numbers, curves, and clips playing."""

from fbridge.evaluation.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
