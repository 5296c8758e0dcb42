"""Blind user studies: write the page, analyse the answers."""

from fbridge.evaluation.user_study.answers import StudyResult, analyse_study
from fbridge.evaluation.user_study.page import write_study
from fbridge.evaluation.user_study.study import StudyRequest, make_study

__all__ = ["StudyRequest", "StudyResult", "analyse_study", "make_study", "write_study"]
