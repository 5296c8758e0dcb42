"""A user study: which of two videos people prefer, asked blind, and what their answers say."""

from fbridge.metrics.study.answers import StudyResult, analyse_study
from fbridge.metrics.study.page import write_study

__all__ = ["StudyResult", "analyse_study", "write_study"]
