"""Counting studies for those who may not see them: questions, answers, and the ways in which others ask."""
