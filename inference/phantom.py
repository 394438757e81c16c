"""stub"""


def draw_exam(seed): ...
