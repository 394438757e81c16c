"""Synthetic breast phantoms whose truth is known. They teach a model its task, not patients.

`flat` draws four small views of a given glandular fraction; `study` draws an anatomically structured breast in three
dimensions, with lesions, and projects it.
"""

from inference.phantom.flat import (
    BITS,
    COLUMNS,
    HELD_OUT,
    ROWS,
    THRESHOLDS,
    TRAINING,
    VIEWS,
    Exam,
    Variation,
    View,
    draw_exam,
)

__all__ = [
    "BITS",
    "COLUMNS",
    "HELD_OUT",
    "ROWS",
    "THRESHOLDS",
    "TRAINING",
    "VIEWS",
    "Exam",
    "Variation",
    "View",
    "draw_exam",
]
